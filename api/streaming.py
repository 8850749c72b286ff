"""Events of a job as Server-Sent Events, and the positions that readers come back with."""

import re
import socket
import struct
from collections.abc import Iterable, Iterator
from itertools import chain

from flask import Request
from pydantic import BaseModel

from api import presenter, responses
from api.events import Event, Moved, Progressed, Quiet, Truncated, Written
from quire.errors import InvalidField
from quire.store.chunk import START, Position

MEDIA = "text/event-stream"
RETRY = "retry: 1000\n\n"  # milliseconds after which a browser comes back
# JSON has them as they are, and readers that cut at every end of a line Unicode knows would cut there.
ENDS_OF_LINES = str.maketrans({"\x85": r"\u0085", "\u2028": r"\u2028", "\u2029": r"\u2029"})
POSITION = re.compile(r"([0-9]{1,9}):([0-9]{1,9})")
TAKE_SECONDS = 20  # who has taken nothing of what is sent for so long is dropped


def asked(request: Request, after: str | None) -> Position:
    """Return the position to go on from: that of Last-Event-ID, which a browser sends by itself, else of `after`.

    Raises:
        InvalidField: it is no position.

    """
    named = request.headers.get("Last-Event-ID")
    field, value = ("after", after) if named is None else ("Last-Event-ID", named)
    if not value:
        return START
    found = POSITION.fullmatch(value)
    if found is None:
        raise InvalidField.one(field, "Should be the id of an event, as 1:57")
    return Position(int(found[1]), int(found[2]))


def frames(events: Iterable[Event], first: Event) -> Iterator[str]:
    """Write events down, each when it comes, behind the first."""
    yield RETRY
    for event in chain([first], events):
        match event:
            case Moved():
                yield _frame("state", presenter.moved(event))
            case Written():
                pieces = [presenter.piece(each) for each in event.pieces]
                yield _frame("text", responses.TextEvent(pieces=pieces), event.end)
            case Progressed():
                yield _frame("progress", responses.Progress(tokens=event.tokens, max_tokens=event.max_tokens))
            case Truncated():
                yield _frame("truncate", responses.TruncateEvent(to=shown(event.to)), event.to)
            case Quiet():
                yield ":\n\n"


def shown(position: Position) -> str:
    return f"{position.revision}:{position.offset}"


def drop_if_slow(request: Request) -> None:
    """Have the kernel break the connection to a client that takes nothing, rather than wait for it with a thread.

    Where there is no TCP, or it has no such time-out, it is one of sending: that begins anew with each bit of room
    which the kernel finds in its buffers.
    """
    connection = request.environ.get("gunicorn.socket")
    if not isinstance(connection, socket.socket):
        return
    by_tcp = connection.family in {socket.AF_INET, socket.AF_INET6}
    if by_tcp and hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux has it, macOS has not
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, TAKE_SECONDS * 1000)
    else:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", TAKE_SECONDS, 0))


def _frame(name: str, data: BaseModel, position: Position | None = None) -> str:
    identity = "" if position is None else f"id: {shown(position)}\n"
    return f"{identity}event: {name}\ndata: {data.model_dump_json().translate(ENDS_OF_LINES)}\n\n"
