"""The figures that were measured, to look up by name, and as tables in Markdown."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from bench.engine.targets import TARGETS
from bench.report import Figure

# Up to this value a figure is shown with so many digits behind the point.
DIGITS = ((10.0, 2), (100.0, 1))
NOTHING = "-"


@dataclass(frozen=True)
class Book:
    figures: Sequence[Figure]

    def named(self, start: str) -> list[Figure]:
        return [figure for figure in self.figures if figure.name.startswith(start)]

    def value(self, name: str) -> float | None:
        return next((figure.value for figure in self.figures if figure.name == name), None)

    def shown(self, name: str) -> str:
        """Return the value as text, a dash if it was not measured."""
        value = self.value(name)
        return NOTHING if value is None else number(value)

    def curve(self, start: str) -> list[tuple[int, float]]:
        """Return (n, value) of the figures called `start` and a number n, in its order."""
        found = self.named(start)
        return sorted((int(figure.name.removeprefix(start)), figure.value) for figure in found)


def number(value: float) -> str:
    digits = next((digits for limit, digits in DIGITS if abs(value) < limit), 0)
    return f"{value:,.{digits}f}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a table; empty if it would have no rows."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *lines, ""] if lines else []


def ratios(figures: Iterable[Figure]) -> list[str]:
    """Return the table of what ours is compared with, and what was asked for."""
    head = ("figure", "value", "beside", "ratio", "asked for")
    return table(
        head, (row for figure in figures if figure.ratio is not None for row in _ratio(figure, figure.ratio))
    )


def _ratio(figure: Figure, ratio: float) -> Iterator[Sequence[str]]:
    target = TARGETS.get((figure.name, figure.peer or ""))
    asked = ""
    if target is not None:
        asked = f"≥ {target:g}" if ratio >= target else f"≥ {target:g}, missed"
    # Ratios that are asked to be within a fraction of a percent need their digits.
    digits = 4 if figure.name.startswith("perplexity") else 2
    value = (
        f"{figure.value:.4f}" if figure.name.startswith("perplexity") else f"{number(figure.value)} {figure.unit}"
    )
    yield f"`{figure.name}`", value, figure.peer or "", f"{ratio:.{digits}f}", asked
