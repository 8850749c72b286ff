"""Cursors of results: where reading goes on, opaque to clients."""

import base64
import binascii
import re

from quire.batches import Cursor
from quire.errors import FieldProblem, InvalidCursor

WRITTEN = re.compile(r"r([0-9]{1,9})(?:\.([0-9]{1,9}))?")


def write(cursor: Cursor) -> str:
    text = f"r{cursor.places}" if cursor.number is None else f"r{cursor.places}.{cursor.number}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read(after: str | None) -> Cursor | None:
    """Return what `write` wrote; None if nothing is given.

    Raises:
        InvalidCursor: it did not.

    """
    if after is None:
        return None
    try:
        text = base64.urlsafe_b64decode(after.encode("ascii") + b"=" * (-len(after) % 4)).decode("ascii")
    except (binascii.Error, UnicodeError):
        text = ""
    if found := WRITTEN.fullmatch(text):
        places, number = found.groups()
        cursor = Cursor(int(places), None if number is None else int(number))
        if write(cursor) == after:
            return cursor
    raise InvalidCursor(fields=(FieldProblem("after", "is not a cursor of results"),))
