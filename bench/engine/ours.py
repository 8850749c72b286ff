"""Our engine as a peer."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.engine.forms import constraint_of
from bench.engine.work import Job, Ran
from worker.engine import Delta, Engine, Finished, Request, Sampling

RUN_SECONDS = 3600.0


@dataclass(frozen=True)
class Setting:
    """How the engine is loaded; None leaves the choice to the engine."""

    precision: str
    slots: int
    threads: int | None = None
    spins: int | None = None
    kv_tokens: int | None = None


class Ours:
    def __init__(self, folder: Path, setting: Setting) -> None:
        self._engine = Engine.load(str(folder), device="cpu", **asdict(setting))
        self._engine.start()

    def run(self, jobs: Sequence[Job], batch: int) -> Ran:  # noqa: ARG002 - it batches by itself
        requests = [self._request(job) for job in jobs]
        begun = time.perf_counter()
        futures = [self._engine.submit(request, _ignore) for request in requests]
        tokens = sum(future.result(RUN_SECONDS).tokens for future in futures)
        return Ran(time.perf_counter() - begun, tokens)

    def warm(self, jobs: Sequence[Job], batch: int) -> str:
        self.run(jobs, batch)
        return ""

    def trace(self, jobs: Sequence[Job], at: Sequence[float]) -> list[list[float]]:
        """Submit each job at its time; return when each of its tokens came, in seconds after the start."""
        requests = [self._request(job) for job in jobs]
        times: list[list[float]] = [[] for _ in jobs]
        futures: list[Future[Finished]] = []
        begun = time.perf_counter()
        for request, when, marks in zip(requests, at, times, strict=True):
            # One that is late is not put off any further; its times count from when it was due.
            time.sleep(max(0.0, begun + when - time.perf_counter()))
            futures.append(self._engine.submit(request, _marker(marks, begun)))
        for future in futures:
            future.result(RUN_SECONDS)
        return times

    def _request(self, job: Job) -> Request:
        settings: dict[str, Any] = dict(job.sampling)
        sampling = Sampling(seed=job.seed, max_tokens=job.new_tokens, min_tokens=job.new_tokens, **settings)
        constraint = constraint_of(job.form, self._engine.vocab_size) if job.form else None
        return Request(prompt=tuple(job.prompt), sampling=sampling, constraint=constraint)


def _ignore(_: Delta) -> None:
    pass


def _marker(marks: list[float], begun: float) -> Callable[[Delta], None]:
    return lambda delta: marks.extend([time.perf_counter() - begun] * len(delta.tokens))
