"""What may be chosen on the command line, with what `make bench-fairness` chooses."""

import argparse
from dataclasses import dataclass
from pathlib import Path

from quire.settings import REPOSITORY


@dataclass(frozen=True)
class Options:
    flood_jobs: int = 10_000
    contention_jobs: int = 100_000
    growth_sizes: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    growth_samples: int = 40  # of each operation at each size
    seconds: float = 10.0  # of each measured rate
    results: Path = REPOSITORY / "bench/results"
    plots: Path = REPOSITORY / "docs/plots"
    page: Path = REPOSITORY / "docs/benchmarks.md"
    cache: Path = REPOSITORY / "var/bench"  # where the tiny model is kept


def add_options(parser: argparse.ArgumentParser) -> None:
    default = Options()
    add = parser.add_argument
    add("--flood-jobs", type=int, default=default.flood_jobs, help="jobs of the greedy tenant (%(default)s)")
    add("--contention-jobs", type=int, default=default.contention_jobs, help="queued at the start (%(default)s)")
    add("--growth-sizes", type=_sizes, default=default.growth_sizes, help="queued jobs, comma-separated")
    add("--growth-samples", type=int, default=default.growth_samples, help="of each operation (%(default)s)")
    add("--seconds", type=float, default=default.seconds, help="length of each measured rate (%(default)s)")
    add("--results", type=Path, default=default.results, help="folder of fairness.json")
    add("--plots", type=Path, default=default.plots, help="folder of the plots")
    add("--page", type=Path, default=default.page, help="page that gets the tables")


def options_of(given: argparse.Namespace) -> Options:
    return Options(
        flood_jobs=given.flood_jobs,
        contention_jobs=given.contention_jobs,
        growth_sizes=given.growth_sizes,
        growth_samples=given.growth_samples,
        seconds=given.seconds,
        results=given.results,
        plots=given.plots,
        page=given.page,
    )


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(sorted(int(part) for part in text.split(",")))
