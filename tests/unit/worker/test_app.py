"""What the composition root does when a part of the process dies."""

import os
import threading

import pytest

from quire.testing import MASTER_KEYS
from tests.waiting import in_background, until


@pytest.fixture
def exits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The exit codes asked for, instead of an exit."""
    codes: list[int] = []
    for name, value in {
        "QUIRE_DATABASE_URL": "postgresql://nowhere/quire",
        "QUIRE_REDIS_URL": "redis://nowhere",
        "QUIRE_MASTER_KEYS": MASTER_KEYS,
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("os._exit", codes.append)
    return codes


@pytest.mark.parametrize(("name", "codes"), [("writer", [70]), ("lease", [70]), ("slot", [])])
def test_only_the_death_of_an_essential_thread_ends_the_process(
    exits: list[int], name: str, codes: list[int]
) -> None:
    from worker.app import end_with_thread

    error = RuntimeError("broken")
    crash = threading.ExceptHookArgs((RuntimeError, error, None, threading.Thread(name=name)))

    end_with_thread(crash)

    assert exits == codes


def test_a_loop_that_sleeps_notices_that_the_worker_is_to_stop(exits: list[int]) -> None:
    from kombu.asynchronous import Hub, set_event_loop

    from worker.app import wake_celery

    hub, (reader, writer) = Hub(), os.pipe()
    hub.add_reader(reader, lambda: None)
    hub.call_later(3600, lambda: None)
    set_event_loop(hub)
    loop = hub.create_loop()
    round_trip = in_background(next, loop)
    until(lambda: hub.poller is not None and hub._loop_thread is not None)

    wake_celery()

    until(round_trip.done, seconds=5)
    hub.close()
    os.close(writer)
    os.close(reader)
