"""How a benchmark tells what it found: a table for people, JSON for machines."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Figure:
    """One measured figure; `ratio` is that to the peer measured in the same run, above 1 if ours is better."""

    name: str
    value: float
    unit: str
    peer: str | None = None
    ratio: float | None = None


def write(name: str, figures: Sequence[Figure]) -> None:
    """Print the figures and keep them in bench/results/NAME.json."""
    show(figures)
    _write(RESULTS / f"{name}.json", figures)


def merge(name: str, figures: Sequence[Figure], folder: Path = RESULTS) -> None:
    """Print the figures and put them among those of NAME.json, in place of earlier ones of the same names."""
    show(figures)
    fresh = {figure.name for figure in figures}
    kept = [figure for figure in read(name, folder) if figure.name not in fresh]
    _write(folder / f"{name}.json", [*kept, *figures])


def read(name: str, folder: Path = RESULTS) -> list[Figure]:
    """Return the figures of NAME.json, none if there is no such file."""
    source = folder / f"{name}.json"
    return [Figure(**figure) for figure in json.loads(source.read_text())] if source.exists() else []


def show(figures: Sequence[Figure]) -> None:
    table = Table()
    for column in ("figure", "value", "unit", "peer", "ratio"):
        table.add_column(column, overflow="fold")
    for figure in figures:
        ratio = f"{figure.ratio:.2f}" if figure.ratio is not None else ""
        table.add_row(figure.name, f"{figure.value:,.2f}", figure.unit, figure.peer or "", ratio)
    Console().print(table)


def _write(target: Path, figures: Sequence[Figure]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps([asdict(figure) for figure in figures], indent=2) + "\n")
