"""The engine with one thread and with several that wait in different ways, on idle cores and on busy ones.

Busy means: the API, a Celery worker, the scheduler, Postgres and Valkey of a whole system work through small jobs
on the same cores. On idle cores that system is up and has nothing to do.
"""

import statistics
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from bench.engine import work
from bench.engine.checkpoint import made
from bench.engine.driver import Peer, ours, say
from bench.engine.options import Options
from bench.engine.part import Measured
from bench.engine.traffic import Traffic, busy
from bench.report import Figure
from bench.system import running
from quire_client import Quire

IDLE, BUSY = "idle", "busy"


@dataclass(frozen=True)
class Waiting:
    """How many threads, and how long one waits awake; None: as the engine does by itself."""

    threads: int
    spins: int | None

    @property
    def name(self) -> str:
        return f"{self.threads}_threads_{'default' if self.spins is None else self.spins}_spins"


def measure(options: Options) -> Measured:
    folder = made(options)
    traffic = Traffic()
    figures: list[Figure] = []
    with (
        tempfile.TemporaryDirectory(prefix="quire-bench-") as data,
        running(Path(data) / "contention") as system,
        system.client("traffic") as client,
    ):
        for precision in options.precisions:
            for waiting in _waitings(options):
                setting = {"slots": options.contention_batch, "threads": waiting.threads, "spins": waiting.spins}
                with ours(options, folder, precision, **setting) as engine:
                    rates = _rates(options, engine, client, traffic)
                figures += _figures(f"contention_{precision}_{waiting.name}", rates)
    return Measured(figures, {"traffic": f"{traffic.rate:.1f} jobs a second"})


def _waitings(options: Options) -> Iterator[Waiting]:
    yield Waiting(1, None)
    yield Waiting(options.threads, None)
    yield from (Waiting(options.threads, spins) for spins in options.contention_spins)


def _rates(options: Options, engine: Peer, client: Quire, traffic: Traffic) -> dict[str, float]:
    """Return the median tokens a second, idle and busy, from alternating rounds."""
    size = options.contention_batch
    jobs = [
        work.equal(
            size,
            prompt=options.prompt,
            new_tokens=options.contention_tokens if number else options.warm_tokens,
            vocabulary=options.vocabulary,
            seed=f"contention {number}",
        )
        for number in range(1 + 2 * options.contention_rounds)
    ]
    engine.warm(jobs.pop(0), batch=size)
    rates: dict[str, list[float]] = {IDLE: [], BUSY: []}
    for round_jobs, state in zip(jobs, [IDLE, BUSY] * options.contention_rounds, strict=True):
        with busy(client, rate=options.contention_rate, traffic=traffic) if state == BUSY else nullcontext():
            rates[state].append(engine.run(round_jobs, batch=size).rate)
    return {state: statistics.median(values) for state, values in rates.items()}


def _figures(name: str, rates: dict[str, float]) -> list[Figure]:
    say(f"{name:44} idle {rates[IDLE]:8.1f}, busy {rates[BUSY]:8.1f} tokens/s")
    return [
        Figure(f"{name}_{IDLE}", rates[IDLE], "tokens/s"),
        Figure(f"{name}_{BUSY}", rates[BUSY], "tokens/s", "the same, idle", rates[BUSY] / rates[IDLE]),
    ]
