import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from uuid import UUID, uuid4

import pytest

from api.waiting import Mark, WaitingRoom


def nothing(jobs: Sequence[UUID]) -> Mapping[UUID, Mark]:
    return dict.fromkeys(jobs, Mark(over=False))


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
    room = WaitingRoom(Silence(), marks=nothing, seats=1, longest=60, look_seconds=0.01)
    yield room
    room.close()


def test_what_is_settled_is_not_waited_for(room: WaitingRoom) -> None:
    assert room.hold(uuid4(), lambda: True, 30) == 30
    assert room.taken == 0


def test_it_looks_again_until_it_is_settled(room: WaitingRoom) -> None:
    answers = iter([False, False, True])
    assert room.hold(uuid4(), lambda: next(answers), 30, by_itself=True) == 30


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
    room = WaitingRoom(Silence(), marks=nothing, seats=1, longest=60, look_seconds=30)
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
    room = WaitingRoom(Silence(), marks=nothing, seats=1, longest=60, look_seconds=30)
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
    room = WaitingRoom(notices, marks=nothing, seats=1, longest=60)
    room.hold(uuid4(), lambda: True, 30)
    assert notices.well.wait(10)
    room.close()


def test_one_look_tells_all_waiters_of_the_ends_of_their_jobs() -> None:
    jobs, looks = [uuid4(), uuid4()], []
    over: set[UUID] = set()
    both = threading.Event()

    def marks(waited_for: Sequence[UUID]) -> Mapping[UUID, Mark]:
        looks.append(set(waited_for))
        if looks[-1] == set(jobs):
            over.update(jobs)
            both.set()
        return {job: Mark(over=job in over) for job in waited_for}

    room = WaitingRoom(Silence(), marks=marks, seats=2, longest=60, look_seconds=0.01)
    waiters = [threading.Thread(target=room.hold, args=(job, lambda job=job: job in over, 30)) for job in jobs]
    for waiter in waiters:
        waiter.start()

    assert both.wait(10)
    for waiter in waiters:
        waiter.join(10)
    assert not any(waiter.is_alive() for waiter in waiters)
    room.close()


def test_one_look_tells_those_who_wait_for_every_change() -> None:
    text = [0]

    def marks(jobs: Sequence[UUID]) -> Mapping[UUID, Mark]:
        return dict.fromkeys(jobs, Mark(over=False, step=("running", len(text))))

    room = WaitingRoom(Silence(), marks=marks, seats=2, longest=60, look_seconds=0.01)
    job = uuid4()
    with room.seat(job, every_change=True) as keen, room.seat(job) as patient:
        assert keen
        assert patient
        keen.wait(10)  # the first look knows nothing to compare with
        keen.clear()
        assert not keen.wait(0.1)
        text.append(1)
        assert keen.wait(10)
        assert not patient.wait(0)
    room.close()


def test_when_steps_cannot_be_asked_for_the_waiters_look() -> None:
    looked = threading.Event()

    def settled() -> bool:
        if looked.is_set():
            raise ZeroDivisionError
        looked.set()
        return False

    def away(_jobs: Sequence[UUID]) -> Mapping[UUID, Mark]:
        raise OSError("Postgres is away")

    room = WaitingRoom(Silence(), marks=away, seats=1, longest=60, look_seconds=0.01)
    with pytest.raises(ZeroDivisionError):
        room.hold(uuid4(), settled, 30)
    room.close()


def test_dismissal_lets_everybody_go() -> None:
    room = WaitingRoom(Silence(), marks=nothing, seats=1, longest=60, look_seconds=30)
    looked = threading.Event()

    def settled() -> bool:
        looked.set()
        return False

    waiter = threading.Thread(target=room.hold, args=(uuid4(), settled, 30))
    waiter.start()
    assert looked.wait(10)
    room.dismiss()
    waiter.join(10)
    assert not waiter.is_alive()
    room.close()


def test_workers_are_told_what_is_read_and_not_what_is_only_waited_for() -> None:
    told: list[list[UUID]] = []
    came = threading.Event()

    def tell(jobs: Sequence[UUID]) -> None:
        told.append(list(jobs))
        came.set()

    room = WaitingRoom(Silence(), marks=nothing, seats=2, longest=60, tell_read=tell)
    read, waited_for = uuid4(), uuid4()
    with room.seat(waited_for), room.seat(read, every_change=True):
        assert came.wait(10)
    room.close()

    assert told[0] == [read]


def test_a_seat_may_be_for_several_jobs() -> None:
    room = WaitingRoom(Silence(), marks=nothing, seats=1, longest=60, look_seconds=30)
    first, second = uuid4(), uuid4()
    with room.seat(first, second) as seat:
        assert seat is not None
        for job in (first, second):
            seat.clear()
            room.ring(job)
            assert seat.wait(10)
    assert room.taken == 0
    room.close()
