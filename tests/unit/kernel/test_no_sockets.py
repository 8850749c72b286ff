"""The wall around unit tests, which the other unit tests rely on."""

import socket
from collections.abc import Callable

import psycopg
import pytest
from redis import Redis
from sqlalchemy import create_engine

from tests.unit.conftest import SocketUsedError


def test_a_unit_test_cannot_open_a_connection() -> None:
    with pytest.raises(SocketUsedError):
        socket.create_connection(("127.0.0.1", 9), timeout=1)


def test_a_unit_test_cannot_reach_redis() -> None:
    with pytest.raises(SocketUsedError):
        Redis().ping()


@pytest.mark.parametrize(
    "connect",
    [
        lambda: psycopg.connect("host=127.0.0.1"),
        lambda: create_engine("postgresql+psycopg://nobody@127.0.0.1:1/none").connect(),
    ],
    ids=["psycopg", "sqlalchemy"],
)
def test_a_unit_test_cannot_reach_postgres(connect: Callable[[], object]) -> None:
    with pytest.raises(SocketUsedError):
        connect()
