"""Waiting for what gives no signal: another session's wait for a lock, another process's start."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

import psycopg

T = TypeVar("T")


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Look again and again; fails when the time is over."""
    pause = threading.Event()
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        pause.wait(0.01)


def in_background(function: Callable[..., T], *arguments: object) -> Future[T]:
    """Call on a thread that does not keep a failed test from ending."""
    answer: Future[T] = Future()

    def call() -> None:
        try:
            answer.set_result(function(*arguments))
        except BaseException as error:  # noqa: BLE001 - handed on
            answer.set_exception(error)

    threading.Thread(target=call, daemon=True).start()
    return answer


def lock_waiters(url: str) -> int:
    """How many sessions of a database wait for a lock."""
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        ).fetchone()
    return row[0] if row else 0
