"""The items of a batch as they were sent: in the body, as lines of JSON, or as rows of CSV. One at a time."""

import csv
import io
from collections.abc import Iterator
from typing import IO, Any, Self

from api.body import parse
from quire.asking.entries import SentItem
from quire.errors import BadRequest, InvalidJSON

MAX_LINE = 1_000_000  # bytes, of CSV characters, as of a single job's body


def json_lines(stream: IO[bytes]) -> Iterator[SentItem]:
    """Yield the lines of a file, empty ones left out. Each is one JSON object."""
    line = 0
    while text := stream.readline(MAX_LINE + 2):
        line += 1
        if len(text.rstrip(b"\r\n")) > MAX_LINE:
            yield SentItem(None, line=line, error=InvalidJSON(f"The line is longer than {MAX_LINE:,} bytes."))
            return  # where the next one begins would have to be searched for
        if line == 1:
            text = text.removeprefix(b"\xef\xbb\xbf")
        if not text.strip():
            continue
        try:
            yield SentItem(parse(text), line=line)
        except BadRequest as error:
            yield SentItem(None, line=line, error=error)


def csv_rows(stream: IO[bytes]) -> Iterator[SentItem]:
    """Yield the rows of a file with a head, all values text."""
    # Read through a buffer of its own: the stream belongs to the request.
    buffer = io.BufferedReader(_Borrowed(stream))
    text = io.TextIOWrapper(buffer, encoding="utf-8-sig", errors="strict", newline="")
    lines = _Lines(text)
    reader = csv.reader(lines, strict=True)
    head: list[str] | None = None
    while True:
        line = reader.line_num + 1
        lines.left = MAX_LINE
        try:
            row = next(reader, None)
        except _TooLong:
            yield SentItem(None, line=line, error=BadRequest(f"The row is longer than {MAX_LINE:,} characters."))
            return
        except (csv.Error, UnicodeDecodeError) as problem:
            reason = "is not valid UTF-8" if isinstance(problem, UnicodeDecodeError) else str(problem)
            yield SentItem(None, line=line, error=BadRequest(f"The row cannot be read: {reason}."))
            return
        if row is None:
            return
        if not row:
            continue
        if head is None:
            head = row
            if len(set(head)) < len(head) or "" in head:
                yield SentItem(None, line=line, error=BadRequest("The head names a column twice, or not at all."))
                return
            continue
        if len(row) != len(head):
            message = f"The row has {len(row)} cells, its head {len(head)}."
            yield SentItem(None, line=line, error=BadRequest(message))
            continue
        yield SentItem(dict(zip(head, row, strict=True)), line=line)


class _TooLong(Exception):
    """A row goes on and on."""


class _Lines:
    """Yields the lines of a file, no more than `left` characters of them until that is set anew."""

    def __init__(self, text: IO[str]) -> None:
        self._text = text
        self.left = 0

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        line = self._text.readline(self.left + 1)
        if not line:
            raise StopIteration
        if len(line) > self.left:
            raise _TooLong
        self.left -= len(line)
        return line


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
