"""Byte ranges (RFC 9110, 14): one range at a time; several are answered with the whole, as is allowed."""

import re
from dataclasses import dataclass

from flask import Request

RANGE = re.compile(r"bytes=\s*(\d{0,18})-(\d{0,18})\s*")


@dataclass(frozen=True)
class Span:
    """Bytes from `start` to before `end`, of a file of `size` bytes."""

    start: int
    end: int
    size: int

    @property
    def is_whole(self) -> bool:
        return (self.start, self.end) == (0, self.size)

    @property
    def content_range(self) -> str:
        return f"bytes {self.start}-{self.end - 1}/{self.size}"


class Unsatisfiable(Exception):
    """The range begins behind the end."""


def span_of(request: Request, size: int, tag: str) -> Span:
    """Return the bytes that a request asks for: all, where it says nothing that is understood.

    Raises:
        Unsatisfiable: the range begins behind the end.

    """
    whole = Span(0, size, size)
    found = RANGE.fullmatch(request.headers.get("Range", ""))
    if found is None or found.groups() == ("", "") or not _still_holds(request, tag):
        return whole
    first, last = found.groups()
    if first == "":
        length = min(int(last), size)
        if length == 0:
            raise Unsatisfiable
        return Span(size - length, size, size)
    start = int(first)
    end = min(int(last) + 1, size) if last else size
    if last and int(last) < start:
        return whole  # no range at all
    if start >= size:
        raise Unsatisfiable
    return Span(start, end, size)


def _still_holds(request: Request, tag: str) -> bool:
    """Whether what the client has a part of is still the same; strongly, as RFC 9110 has it for If-Range."""
    condition = request.headers.get("If-Range")
    return condition is None or condition.strip() == f'"{tag}"'
