"""The loop of duties, one step at a time."""

import threading

import pytest
from prometheus_client import REGISTRY

from scheduler.loop import Duty, Loop
from scheduler.main import for_a_while


class Clock:
    """Time that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


class Diary:
    """Remembers which duties were done."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def duty(self, name: str, every: float = 1.0, items: int = 0) -> Duty:
        def run() -> int:
            self.done.append(name)
            return items

        return Duty(name, every, run)


@pytest.fixture
def diary() -> Diary:
    return Diary()


def fails() -> int:
    raise RuntimeError("no database")


def counted(name: str, duty: str) -> float:
    return REGISTRY.get_sample_value(name, {"duty": duty}) or 0.0


def test_every_duty_is_due_at_the_start(clock: Clock, diary: Diary) -> None:
    Loop([diary.duty("a"), diary.duty("b", every=3600)], clock).step()

    assert diary.done == ["a", "b"]


def test_a_duty_is_not_run_again_before_its_time(clock: Clock, diary: Diary) -> None:
    loop = Loop([diary.duty("a", every=1.0)], clock)
    loop.step()

    clock.now += 0.999
    loop.step()

    assert diary.done == ["a"]


def test_a_duty_is_run_again_at_its_time(clock: Clock, diary: Diary) -> None:
    loop = Loop([diary.duty("a", every=1.0)], clock)
    loop.step()

    clock.now += 1.0
    loop.step()

    assert diary.done == ["a", "a"]


def test_a_duty_that_was_missed_many_times_is_run_once(clock: Clock, diary: Diary) -> None:
    loop = Loop([diary.duty("a", every=1.0)], clock)
    loop.step()

    clock.now += 100.0
    loop.step()
    loop.step()

    assert diary.done == ["a", "a"]


def test_a_step_says_how_long_to_wait_for_the_next_duty(clock: Clock, diary: Diary) -> None:
    loop = Loop([diary.duty("slow", every=60.0), diary.duty("fast", every=0.25)], clock)

    assert loop.step() == 0.25


def test_a_step_that_took_too_long_is_not_waited_for(clock: Clock, diary: Diary) -> None:
    def slow() -> int:
        clock.now += 10.0
        return 0

    loop = Loop([diary.duty("fast", every=0.25), Duty("slow", 60.0, slow)], clock)

    assert loop.step() == 0.0


def test_a_duty_is_due_so_long_after_its_end(clock: Clock) -> None:
    def slow() -> int:
        clock.now += 10.0
        return 0

    assert Loop([Duty("slow", 1.0, slow)], clock).step() == 1.0


def test_a_duty_that_fails_does_not_keep_the_others_from_running(clock: Clock, diary: Diary) -> None:
    Loop([Duty("broken", 1.0, fails), diary.duty("after")], clock).step()

    assert diary.done == ["after"]


def test_a_duty_that_failed_is_tried_again_at_its_time(clock: Clock) -> None:
    loop = Loop([Duty("failing twice", 1.0, fails)], clock)
    loop.step()

    clock.now += 1.0
    loop.step()

    assert counted("quire_scheduler_failures_total", "failing twice") == 2


def test_what_a_duty_dealt_with_is_counted(clock: Clock, diary: Diary) -> None:
    Loop([diary.duty("counted", items=3)], clock).step()

    assert counted("quire_scheduler_items_total", "counted") == 3
    assert counted("quire_scheduler_seconds_count", "counted") == 1


def test_the_loop_ends_when_it_is_told_to(diary: Diary) -> None:
    stop = threading.Event()

    def once() -> int:
        stop.set()
        return 0

    Loop([diary.duty("a", every=0.0), Duty("last", 0.0, once)]).run(stop)

    assert diary.done == ["a"]


def test_a_bounded_step_is_repeated_until_nothing_is_left_or_its_time_is_over() -> None:
    steps = iter((3, 2, 0))

    assert for_a_while(lambda: next(steps)) == 5
    assert for_a_while(lambda: 4, seconds=0) == 4


def test_duties_are_closed_at_the_end_also_behind_one_that_fails(clock: Clock, diary: Diary) -> None:
    stop = threading.Event()
    stop.set()
    closes = Duty("closes", 1.0, lambda: 0, lambda: diary.done.append("closed"))

    Loop([Duty("breaks", 1.0, lambda: 0, fails_to_close), closes], clock).run(stop)

    assert diary.done == ["closed"]


def fails_to_close() -> None:
    raise RuntimeError("no database")
