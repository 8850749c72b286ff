import threading
from collections.abc import Callable, Iterator
from uuid import UUID, uuid4

import pytest

from api.waiting import WaitingRoom


class Silence:
    """Notices that never come."""

    def listen(self, _on_notice: Callable[[UUID], None], stop: threading.Event) -> None:
        stop.wait()


class Failing:
    """Notices that break off twice."""

    def __init__(self) -> None:
        self.calls = 0
        self.well = threading.Event()

    def listen(self, _on_notice: Callable[[UUID], None], stop: threading.Event) -> None:
        self.calls += 1
        if self.calls <= 2:
            raise OSError("broken")
        self.well.set()
        stop.wait()


@pytest.fixture
def room() -> Iterator[WaitingRoom]:
    room = WaitingRoom(Silence(), seats=1, longest=60, look_seconds=0.01)
    yield room
    room.close()


def test_what_is_settled_is_not_waited_for(room: WaitingRoom) -> None:
    assert room.hold(uuid4(), lambda: True, 30) == 30
    assert room.taken == 0


def test_it_looks_again_until_it_is_settled(room: WaitingRoom) -> None:
    answers = iter([False, False, True])
    assert room.hold(uuid4(), lambda: next(answers), 30) == 30


def test_a_wait_is_never_longer_than_allowed(room: WaitingRoom) -> None:
    assert room.hold(uuid4(), lambda: True, 600) == 60
    assert room.hold(uuid4(), lambda: False, 0.05) == 0.05


def test_without_a_wait_nobody_looks(room: WaitingRoom) -> None:
    def never() -> bool:
        raise AssertionError

    assert room.hold(uuid4(), never, 0) is None


def test_an_error_frees_the_seat(room: WaitingRoom) -> None:
    with pytest.raises(ZeroDivisionError):
        room.hold(uuid4(), lambda: bool(1 / 0), 30)
    assert room.taken == 0
    assert room.hold(uuid4(), lambda: True, 30) == 30


def test_without_a_seat_there_is_no_wait(room: WaitingRoom) -> None:
    def inner() -> bool:
        return room.hold(uuid4(), lambda: True, 30) is None

    assert room.hold(uuid4(), inner, 30) == 30


def test_what_happens_while_looking_is_not_missed() -> None:
    room = WaitingRoom(Silence(), seats=1, longest=60, look_seconds=30)
    job, looks = uuid4(), 0

    def settled() -> bool:
        nonlocal looks
        looks += 1
        room.ring(job)  # just after this look has read its answer
        return looks == 2

    assert room.hold(job, settled, 30) == 30
    assert looks == 2
    room.close()


def test_closing_lets_everybody_go() -> None:
    room = WaitingRoom(Silence(), seats=1, longest=60, look_seconds=30)
    looked = threading.Event()

    def settled() -> bool:
        looked.set()
        return False

    waiter = threading.Thread(target=room.hold, args=(uuid4(), settled, 30))
    waiter.start()
    assert looked.wait(10)
    room.close()
    waiter.join(10)
    assert not waiter.is_alive()


def test_a_broken_channel_is_listened_to_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.waiting.RESTART_SECONDS", 0)
    notices = Failing()
    room = WaitingRoom(notices, seats=1, longest=60)
    room.hold(uuid4(), lambda: True, 30)
    assert notices.well.wait(10)
    room.close()
