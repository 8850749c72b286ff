"""Figures with the bound that was asked of them: a table for people, JSON for machines."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

NAME = "fairness.json"


@dataclass(frozen=True)
class Figure:
    """One measured figure. `bound` is what was asked for, "<= 2.5" or ">= 5000"; None if nothing was."""

    name: str
    value: float
    unit: str
    bound: str | None = None

    @property
    def met(self) -> bool | None:
        """Whether the bound holds; None where there is none."""
        if self.bound is None:
            return None
        sign, limit = self.bound.split()
        return self.value <= float(limit) if sign == "<=" else self.value >= float(limit)


def at_most(name: str, value: float, unit: str, limit: float) -> Figure:
    return Figure(name, value, unit, f"<= {limit:.6g}")


def at_least(name: str, value: float, unit: str, limit: float) -> Figure:
    return Figure(name, value, unit, f">= {limit:.6g}")


def percentile(values: Sequence[float], share: float) -> float:
    """Return the least value that at least this share of the values does not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def keep(part: str, figures: Sequence[Figure], folder: Path) -> None:
    """Print a part's figures, and put them into fairness.json in the place of that part's earlier ones."""
    show(figures)
    kept = [figure for figure in read(folder) if not figure.name.startswith(f"{part}_")]
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps([asdict(figure) for figure in [*kept, *figures]], indent=2)
    (folder / NAME).write_text(text + "\n")


def read(folder: Path) -> list[Figure]:
    source = folder / NAME
    return [Figure(**figure) for figure in json.loads(source.read_text())] if source.exists() else []


def show(figures: Sequence[Figure]) -> None:
    table = Table()
    for column in ("figure", "value", "unit", "bound", ""):
        table.add_column(column, overflow="fold", justify="right" if column == "value" else "left")
    words = {None: "", True: "[green]pass[/green]", False: "[bold red]miss[/bold red]"}
    for figure in figures:
        table.add_row(figure.name, f"{figure.value:,.2f}", figure.unit, figure.bound or "", words[figure.met])
    Console(width=120).print(table)
