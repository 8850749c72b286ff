"""Items as they were sent, one at a time: where each stood, and what it becomes in a template."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from quire.errors import BadRequest, FieldProblem, InvalidField
from quire.templates import Unfillable, fill


@dataclass(frozen=True)
class SentItem:
    """One item as it was sent. `where`: the path to it in a body; `line`: its line in a file, from 1."""

    value: Mapping[str, Any] | None
    where: str | None = None
    line: int | None = None
    error: BadRequest | None = None  # it could not even be read

    def blame(self, error: BadRequest) -> list[FieldProblem]:
        """Say of which item an error speaks."""
        found = error.fields or (FieldProblem("", error.detail),)
        if self.line is not None:
            return [FieldProblem(each.field, each.message, self.line) for each in found]
        return [FieldProblem(f"{self.where}.{each.field}".rstrip("."), each.message) for each in found]


def inline(name: str, values: Sequence[Mapping[str, Any]]) -> Iterator[SentItem]:
    """Yield the members of a list in the body; `name` is that of the list."""
    for index, value in enumerate(values):
        yield SentItem(value, where=f"{name}.{index}")


def filled(template: Mapping[str, Any], rows: Iterable[SentItem]) -> Iterator[SentItem]:
    """Yield an item for each row."""
    for row in rows:
        if row.value is None:
            yield row
            continue
        try:
            yield SentItem(fill(template, row.value), row.where, row.line)
        except Unfillable as problem:
            yield SentItem(None, row.where, row.line, InvalidField.one(problem.field, problem.message))
