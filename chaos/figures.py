"""What a run measures: figures, some with a bound that they must keep."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from chaos.checker import Violation
from quire.settings import REPOSITORY

RESULTS = REPOSITORY / "bench/results/chaos.json"
SHOWN = 40  # violations


@dataclass(frozen=True)
class Figure:
    """`bound`: the most that `value` may be; None where nothing is promised."""

    name: str
    value: float
    unit: str
    bound: float | None = None

    @property
    def kept(self) -> bool:
        return self.bound is None or self.value <= self.bound


def label(name: str) -> str:
    """Return the name of a fault as part of a figure's."""
    return name.lower().replace(" ", "_")


def show(title: str, figures: Sequence[Figure]) -> None:
    table = Table("figure", "value", "unit", "bound", "", title=title)
    for figure in figures:
        bound = "" if figure.bound is None else f"≤ {figure.bound:g}"
        verdict = "" if figure.bound is None else "kept" if figure.kept else "MISSED"
        table.add_row(figure.name, f"{figure.value:,.2f}".rstrip("0").rstrip("."), figure.unit, bound, verdict)
    Console().print(table)


def show_violations(violations: Sequence[Violation]) -> None:
    table = Table("violation", "job or key", "detail", title=f"{len(violations)} violations")
    for violation in violations[:SHOWN]:
        table.add_row(violation.kind, violation.job, violation.detail)
    if violations:
        Console().print(table)


def read(target: Path = RESULTS) -> list[Figure]:
    return [Figure(**figure) for figure in json.loads(target.read_text())] if target.exists() else []


def keep(part: str, figures: Iterable[Figure], target: Path = RESULTS) -> None:
    """Put a part's figures in the place of its earlier ones; their names begin with the part's."""
    fresh = [replace(figure, name=f"{part}_{figure.name}") for figure in figures]
    kept = [figure for figure in read(target) if not figure.name.startswith(f"{part}_")]
    target.write_text(json.dumps([asdict(figure) for figure in [*kept, *fresh]], indent=2) + "\n")
