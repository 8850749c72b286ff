"""One call of a webhook: how long it takes at most, whatever the other side does."""

import socket
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from scheduler import sending
from scheduler.sending import Line
from tests.receiver import receiver


class Clock:
    """The monotonic clock of a sender, which stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(sending, "time", clock)
    return clock


def connecting(monkeypatch: pytest.MonkeyPatch, connect: Any) -> None:
    """Have all connections made by `connect`."""
    known = vars(socket) | {"create_connection": connect}
    monkeypatch.setattr(sending, "socket", SimpleNamespace(**known))


def test_an_answer_that_never_comes_is_cut_off_in_time() -> None:
    with receiver(hold=threading.Event()) as stuck:
        answer = Line(stuck.url, allow_private=True, longest=0.3).send({}, b"{}")

        assert (answer.status, answer.error) == (None, "No answer: it took too long.")
        assert 0.3 <= answer.seconds < 5


def test_a_kept_connection_has_its_whole_time_for_the_next_message() -> None:
    with receiver() as there:
        line = Line(there.url, allow_private=True, longest=5)
        answers = [line.send({}, b"{}").status for _ in range(2)]
        line.close()

    assert answers == [204, 204]


def test_addresses_are_tried_three_at_most_and_only_for_what_is_left(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    tried = []

    def dead(address: tuple[str, int], timeout: float) -> socket.socket:
        tried.append((address[0], timeout))
        clock.now += 4
        raise TimeoutError

    connecting(monkeypatch, dead)
    monkeypatch.setattr(sending, "addresses", lambda *_, **__: [f"10.0.0.{n}" for n in range(9)])

    answer = Line("http://a.example/", allow_private=True, longest=10).send({}, b"{}")

    assert tried == [("10.0.0.0", 10), ("10.0.0.1", 6), ("10.0.0.2", 2)]
    assert answer.error == "No answer: it took too long."


def test_what_resolving_took_is_not_there_for_the_rest(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    def slow(*_: Any, **__: Any) -> list[str]:
        clock.now += 20
        return ["10.0.0.1"]

    connecting(monkeypatch, lambda *_: pytest.fail("there was no time left to connect"))
    monkeypatch.setattr(sending, "addresses", slow)

    assert Line("http://a.example/", allow_private=True).send({}, b"{}").error == "No answer: it took too long."


def test_a_connection_that_appears_after_the_cut_is_not_used(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    with receiver() as there:
        real = socket.create_connection

        def late(address: tuple[str, int], _timeout: float) -> socket.socket:
            clock.now += 20
            return real(address)

        connecting(monkeypatch, late)

        answer = Line(there.url, allow_private=True).send({}, b"{}")

        assert (answer.error, there.messages) == ("No answer: it took too long.", [])
