"""How a benchmark tells what it found: a table for people, JSON for machines."""

import json
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.table import Table

from quire.settings import REPOSITORY


@dataclass(frozen=True)
class Figure:
    """One measured figure; `ratio` is that to the peer measured in the same run, above 1 if ours is better."""

    name: str
    value: float
    unit: str
    peer: str | None = None
    ratio: float | None = None


def write(name: str, figures: list[Figure]) -> None:
    """Print the figures and keep them in bench/results/NAME.json."""
    table = Table("figure", "value", "unit", "peer", "ratio")
    for figure in figures:
        ratio = f"{figure.ratio:.2f}" if figure.ratio is not None else ""
        table.add_row(figure.name, f"{figure.value:,.2f}", figure.unit, figure.peer or "", ratio)
    Console().print(table)
    target = REPOSITORY / "bench" / "results" / f"{name}.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps([asdict(figure) for figure in figures], indent=2) + "\n")
