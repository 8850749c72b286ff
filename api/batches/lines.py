"""The items of a batch as they were sent: in the body, as lines of JSON, or as rows of CSV. One at a time."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

from api.body import parse
from quire.errors import BadRequest, FieldProblem, InvalidField, InvalidJSON
from quire.templates import Unfillable, fill

MAX_LINE = 1_000_000  # bytes, as of a single job's body


@dataclass(frozen=True)
class Entry:
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


def inline(name: str, values: Sequence[Mapping[str, Any]]) -> Iterator[Entry]:
    """Yield the members of a list in the body; `name` is that of the list."""
    for index, value in enumerate(values):
        yield Entry(value, where=f"{name}.{index}")


def json_lines(stream: IO[bytes]) -> Iterator[Entry]:
    """Yield the lines of a file, empty ones left out. Each is one JSON object."""
    line = 0
    while text := stream.readline(MAX_LINE + 2):
        line += 1
        if len(text.rstrip(b"\r\n")) > MAX_LINE:
            yield Entry(None, line=line, error=InvalidJSON(f"The line is longer than {MAX_LINE:,} bytes."))
            return  # where the next one begins would have to be searched for
        if line == 1:
            text = text.removeprefix(b"\xef\xbb\xbf")
        if not text.strip():
            continue
        try:
            yield Entry(parse(text), line=line)
        except BadRequest as error:
            yield Entry(None, line=line, error=error)


def csv_rows(stream: IO[bytes]) -> Iterator[Entry]:
    """Yield the rows of a file with a head, all values text."""
    # Read through a buffer of its own: the stream belongs to the request.
    buffer = io.BufferedReader(_Borrowed(stream))
    text = io.TextIOWrapper(buffer, encoding="utf-8-sig", errors="strict", newline="")
    reader = csv.reader(text, strict=True)
    head: list[str] | None = None
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader, None)
        except (csv.Error, UnicodeDecodeError) as problem:
            reason = "is not valid UTF-8" if isinstance(problem, UnicodeDecodeError) else str(problem)
            yield Entry(None, line=line, error=BadRequest(f"The row cannot be read: {reason}."))
            return
        if row is None:
            return
        if not row:
            continue
        if head is None:
            head = row
            if len(set(head)) < len(head) or "" in head:
                yield Entry(None, line=line, error=BadRequest("The head names a column twice, or not at all."))
                return
            continue
        if len(row) != len(head):
            message = f"The row has {len(row)} cells, its head {len(head)}."
            yield Entry(None, line=line, error=BadRequest(message))
            continue
        yield Entry(dict(zip(head, row, strict=True)), line=line)


def filled(template: Mapping[str, Any], rows: Iterable[Entry]) -> Iterator[Entry]:
    """Yield an item for each row."""
    for row in rows:
        if row.value is None:
            yield row
            continue
        try:
            yield Entry(fill(template, row.value), row.where, row.line)
        except Unfillable as problem:
            yield Entry(None, row.where, row.line, InvalidField.one(problem.field, problem.message))


class _Borrowed(io.RawIOBase):
    """Reads from a stream that it does not close."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
