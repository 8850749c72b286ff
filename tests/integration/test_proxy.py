"""The proxy of the fault runs, between real sockets."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from chaos.proxy import HOST, Proxy

SECONDS = 10.0


@contextmanager
def echoing() -> Iterator[int]:
    """A server that says back what it hears; yields its port."""
    with socket.create_server((HOST, 0)) as listener:
        threading.Thread(target=_serve, args=(listener,), daemon=True).start()
        yield int(listener.getsockname()[1])


def _serve(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_echo, args=(connection,), daemon=True).start()


def _echo(connection: socket.socket) -> None:
    with connection:
        try:
            while data := connection.recv(65536):
                connection.sendall(data)
        except OSError:
            return


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with echoing() as port, Proxy(port) as proxy:
        yield proxy


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection((HOST, proxy.port), timeout=SECONDS)


def said(connection: socket.socket, words: bytes) -> bytes:
    """Say something; returns what is said back, '' if the connection is broken."""
    heard = b""
    try:
        connection.sendall(words)
        while len(heard) < len(words) and (more := connection.recv(65536)):
            heard += more
    except ConnectionError:
        return b""
    return heard


def test_bytes_pass_both_ways(proxy: Proxy) -> None:
    words = b"all the night" * 100_000

    with connect(proxy) as connection:
        assert said(connection, words[:50_000]) == words[:50_000]


def test_several_connections_do_not_mix(proxy: Proxy) -> None:
    with connect(proxy) as one, connect(proxy) as other:
        assert (said(one, b"one"), said(other, b"other")) == (b"one", b"other")


def test_a_cut_breaks_every_connection_and_new_ones_work(proxy: Proxy) -> None:
    with connect(proxy) as one, connect(proxy) as other:
        said(one, b"one")
        said(other, b"other")

        assert proxy.cut() == 2

        assert (said(one, b"again"), said(other, b"again")) == (b"", b"")
    with connect(proxy) as new:
        assert said(new, b"new") == b"new"


def test_what_is_refused_is_refused_until_it_is_allowed(proxy: Proxy) -> None:
    with connect(proxy) as before:
        said(before, b"before")
        proxy.refuse()
        assert said(before, b"still") == b""

    with connect(proxy) as during:
        assert said(during, b"during") == b""

    proxy.allow()
    with connect(proxy) as after:
        assert said(after, b"after") == b"after"


def test_a_closed_connection_is_closed_on_the_other_side(proxy: Proxy) -> None:
    with connect(proxy) as connection:
        said(connection, b"words")
        connection.shutdown(socket.SHUT_WR)

        assert connection.recv(65536) == b""


def test_a_server_that_is_away_breaks_the_connection() -> None:
    with socket.create_server((HOST, 0)) as listener:
        port = int(listener.getsockname()[1])
    with Proxy(port) as proxy, connect(proxy) as connection:
        assert said(connection, b"anybody?") == b""
