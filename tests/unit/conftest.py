"""Unit tests reach no network and no server: whatever tries to connect fails, with its name."""

import socket
from typing import NoReturn

import psycopg
import pytest
from hypothesis import settings

# A busy machine is no failure, and fifty examples find what a hundred do, on another day at the latest.
settings.register_profile("quire", deadline=None, max_examples=50)
settings.load_profile("quire")


class SocketUsedError(RuntimeError):
    """A unit test tried to connect."""


@pytest.fixture(autouse=True)
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **_: object) -> NoReturn:
        if arguments and isinstance(arguments[0], socket.socket):
            arguments[0].close()
        raise SocketUsedError(f"a unit test tried to connect: {arguments}")

    for name in ("connect", "connect_ex", "bind"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(psycopg, "connect", refuse)  # libpq opens sockets of its own
    monkeypatch.setattr(psycopg.Connection, "connect", refuse)
