"""Whether the client of a request is still there, for requests that take a while to answer."""

import select
import socket
from collections.abc import Callable

from flask import Request

Left = Callable[[], bool]


def has_left(request: Request) -> Left:
    """Return what tells whether the client has closed its side of the connection, which none does who still reads.

    Without a socket of gunicorn's nobody is ever known to have left.
    """
    connection = request.environ.get("gunicorn.socket")
    if not isinstance(connection, socket.socket):
        return lambda: False
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLRDHUP)  # hang-ups and errors are told without asking

    def left() -> bool:
        return bool(poll.poll(0))

    return left
