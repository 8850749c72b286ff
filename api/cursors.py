"""Cursors of lists: the id of a page's last item, opaque to clients."""

import base64
import binascii
from collections.abc import Sequence
from typing import Protocol, TypedDict
from uuid import UUID

from quire import ids
from quire.errors import FieldProblem, InvalidCursor


class Identified(Protocol):
    @property
    def id(self) -> UUID: ...


class Place(TypedDict):
    """Where a page of a list ends."""

    has_more: bool
    next_cursor: str | None


def place(prefix: str, rows: Sequence[Identified], limit: int) -> Place:
    """Return where a page of so many rows ends, of which one more was read if there are more."""
    more = len(rows) > limit
    return Place(has_more=more, next_cursor=cursor(prefix, rows[limit - 1].id) if more else None)


def cursor(prefix: str, last: UUID) -> str:
    return base64.urlsafe_b64encode(ids.show(prefix, last).encode()).decode().rstrip("=")


def position(prefix: str, after: str | None) -> UUID | None:
    """Return the id that a cursor of this kind of list names; None without a cursor.

    Raises:
        InvalidCursor: `cursor` did not write it, or for another kind of list.

    """
    if after is None:
        return None
    try:
        shown = base64.urlsafe_b64decode(after.encode("ascii") + b"=" * (-len(after) % 4)).decode("ascii")
        last = ids.parse(prefix, shown)
    except (binascii.Error, UnicodeError):
        last = None
    if last is None or cursor(prefix, last) != after:
        raise InvalidCursor(fields=(FieldProblem("after", "is not a cursor of this list"),))
    return last
