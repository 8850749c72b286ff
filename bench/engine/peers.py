"""A peer's process: `python -m bench.engine.peers NAME PRECISION --folder CHECKPOINT`, driven by `driver.py`."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Protocol

from bench.engine.child import Answers, open_channel, serve
from bench.engine.work import Job, Ran

PEERS = ("ours", "generate", "continuous", "ctranslate2")


class Runner(Protocol):
    def run(self, jobs: Sequence[Job], batch: int) -> Ran:
        """Run all jobs; those that batch statically take `batch` of them at once, in their order."""

    def warm(self, jobs: Sequence[Job], batch: int) -> str:
        """Run like this before anything is measured; returns the settings chosen by it, if any."""


def loaded(given: argparse.Namespace) -> Runner:
    """Load a peer; each module is imported only where it runs, since some of them set up their process."""
    match given.name:
        case "ours":
            from bench.engine.ours import Ours, Setting  # noqa: PLC0415

            chosen = {field.name: getattr(given, field.name) for field in fields(Setting)}
            return Ours(given.folder, Setting(**chosen))
        case "generate":
            from bench.engine.peer_generate import Generate  # noqa: PLC0415

            return Generate(given.folder, threads=given.threads)
        case "continuous":
            from bench.engine.peer_continuous import Continuous  # noqa: PLC0415

            return Continuous(given.folder, threads=given.threads)
        case _:
            from bench.engine.peer_ctranslate2 import CTranslate2  # noqa: PLC0415

            return CTranslate2(given.folder, precision=given.precision, threads=given.threads)


def answers(runner: Runner) -> Answers:
    """Return what a peer answers: `run` and `warm`, and what else this one can do."""

    def run(jobs: list[dict[str, Any]], batch: int) -> dict[str, float]:
        return asdict(runner.run([Job(**job) for job in jobs], batch))

    def warm(jobs: list[dict[str, Any]], batch: int) -> str:
        return runner.warm([Job(**job) for job in jobs], batch)

    def trace(jobs: list[dict[str, Any]], at: list[float]) -> list[list[float]]:
        traced: list[list[float]] = runner.trace([Job(**job) for job in jobs], at)  # type: ignore[attr-defined]
        return traced

    return {"run": run, "warm": warm, "trace": trace}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=PEERS)
    parser.add_argument("precision", choices=("fp32", "int8"))
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--slots", type=int, default=64)
    parser.add_argument("--spins", type=int)
    parser.add_argument("--kv-tokens", type=int)
    given = parser.parse_args()
    channel = open_channel()
    serve(channel, lambda: answers(loaded(given)))


if __name__ == "__main__":
    main()
