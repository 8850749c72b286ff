"""The gate: who is inside together with whom."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.waiting import until
from worker.gate import Gate, GateClosed


class Visitor:
    """Someone who enters on a thread of his own, and stays until told to leave."""

    def __init__(self, gate: Gate, pool: ThreadPoolExecutor, *, alone: bool = False) -> None:
        self.is_inside = threading.Event()
        self._may_leave = threading.Event()
        self.visit: Future[None] = pool.submit(self._enter, gate, alone)

    def _enter(self, gate: Gate, alone: bool) -> None:
        with gate.enter(alone=alone):
            self.is_inside.set()
            self._may_leave.wait(20)

    def leave(self) -> None:
        self._may_leave.set()
        self.visit.result(timeout=20)


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def pool(gate: Gate) -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool
        gate.close()


def inside(gate: Gate, pool: ThreadPoolExecutor, *, alone: bool = False) -> Visitor:
    visitor = Visitor(gate, pool, alone=alone)
    assert visitor.is_inside.wait(20)
    return visitor


def waiting_alone(gate: Gate, pool: ThreadPoolExecutor) -> Visitor:
    visitor = Visitor(gate, pool, alone=True)
    until(lambda: gate._waiting_alone == 1)
    return visitor


def may_enter(gate: Gate, *, alone: bool) -> bool:
    with gate._changed:
        return gate._may_enter(alone=alone)


def test_many_are_inside_together(gate: Gate, pool: ThreadPoolExecutor):
    visitors = [inside(gate, pool) for _ in range(3)]

    for visitor in visitors:
        visitor.leave()


def test_one_alone_does_not_enter_while_another_is_inside(gate: Gate, pool: ThreadPoolExecutor):
    visitor = inside(gate, pool)

    assert not may_enter(gate, alone=True)
    visitor.leave()


def test_one_alone_enters_when_the_last_has_left(gate: Gate, pool: ThreadPoolExecutor):
    first, second = inside(gate, pool), inside(gate, pool)
    alone = waiting_alone(gate, pool)

    first.leave()
    assert not alone.is_inside.is_set()
    second.leave()

    assert alone.is_inside.wait(20)
    alone.leave()


@pytest.mark.parametrize("also_alone", [False, True])
def test_nobody_enters_while_one_is_inside_alone(gate: Gate, pool: ThreadPoolExecutor, also_alone: bool):
    alone = inside(gate, pool, alone=True)

    assert not may_enter(gate, alone=also_alone)
    alone.leave()


def test_others_enter_again_when_the_one_alone_has_left(gate: Gate, pool: ThreadPoolExecutor):
    inside(gate, pool, alone=True).leave()

    inside(gate, pool).leave()


def test_one_that_waits_to_be_alone_goes_before_those_that_come_later(gate: Gate, pool: ThreadPoolExecutor):
    first = inside(gate, pool)
    alone = waiting_alone(gate, pool)
    later = Visitor(gate, pool)

    first.leave()

    assert alone.is_inside.wait(20)
    assert not later.is_inside.is_set()
    alone.leave()
    assert later.is_inside.wait(20)
    later.leave()


def test_a_place_is_given_back_when_its_holder_fails(gate: Gate):
    with pytest.raises(ZeroDivisionError), gate.enter(alone=True):
        _ = 1 / 0

    assert may_enter(gate, alone=True)


@pytest.mark.parametrize("alone", [False, True])
def test_a_closed_gate_lets_nobody_in(gate: Gate, alone: bool):
    gate.close()

    with pytest.raises(GateClosed), gate.enter(alone=alone):
        pass


def test_closing_releases_those_that_wait(gate: Gate, pool: ThreadPoolExecutor):
    visitor = inside(gate, pool)
    waiters = [waiting_alone(gate, pool), Visitor(gate, pool)]

    gate.close()

    for waiter in waiters:
        with pytest.raises(GateClosed):
            waiter.visit.result(timeout=20)
    visitor.leave()


def test_those_inside_a_closed_gate_may_finish(gate: Gate, pool: ThreadPoolExecutor):
    visitor = inside(gate, pool)

    gate.close()

    visitor.leave()
    assert gate._inside == 0
