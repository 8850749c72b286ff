"""What the composition root does when a part of the process dies."""

import threading

import pytest


@pytest.fixture
def exits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The exit codes asked for, instead of an exit."""
    codes: list[int] = []
    for name, value in {
        "QUIRE_DATABASE_URL": "postgresql://nowhere/quire",
        "QUIRE_REDIS_URL": "redis://nowhere",
        "QUIRE_MASTER_KEYS": "unused",
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
