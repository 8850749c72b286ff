"""The gate: who is inside together with whom."""

import threading
from concurrent.futures import Future

import pytest

from tests.waiting import in_background, until
from worker.gate import Gate, GateClosed


class Visitor:
    """Someone who enters on a thread of his own, and stays until told to leave."""

    def __init__(self, gate: Gate, *, alone: bool = False) -> None:
        self.is_inside = threading.Event()
        self._may_leave = threading.Event()
        self.visit: Future[None] = in_background(self._enter, gate, alone)

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


def inside(gate: Gate, *, alone: bool = False) -> Visitor:
    visitor = Visitor(gate, alone=alone)
    assert visitor.is_inside.wait(20)
    return visitor


def waiting_alone(gate: Gate) -> Visitor:
    visitor = Visitor(gate, alone=True)
    until(lambda: gate._waiting_alone == 1)
    return visitor


def may_enter(gate: Gate, *, alone: bool) -> bool:
    with gate._changed:
        return gate._may_enter(alone=alone)


def test_many_are_inside_together(gate: Gate) -> None:
    visitors = [inside(gate) for _ in range(3)]

    for visitor in visitors:
        visitor.leave()


def test_one_alone_does_not_enter_while_another_is_inside(gate: Gate) -> None:
    visitor = inside(gate)

    assert not may_enter(gate, alone=True)
    visitor.leave()


def test_one_alone_enters_when_the_last_has_left(gate: Gate) -> None:
    first, second = inside(gate), inside(gate)
    alone = waiting_alone(gate)

    first.leave()
    assert not alone.is_inside.is_set()
    second.leave()

    assert alone.is_inside.wait(20)
    alone.leave()


@pytest.mark.parametrize("also_alone", [False, True])
def test_nobody_enters_while_one_is_inside_alone(gate: Gate, also_alone: bool) -> None:
    alone = inside(gate, alone=True)

    assert not may_enter(gate, alone=also_alone)
    alone.leave()


def test_others_enter_again_when_the_one_alone_has_left(gate: Gate) -> None:
    inside(gate, alone=True).leave()

    inside(gate).leave()


def test_one_that_waits_to_be_alone_goes_before_later_comers(gate: Gate) -> None:
    first = inside(gate)
    alone = waiting_alone(gate)
    later = Visitor(gate)

    first.leave()

    assert alone.is_inside.wait(20)
    assert not later.is_inside.is_set()
    alone.leave()
    assert later.is_inside.wait(20)
    later.leave()


def test_a_place_is_given_back_when_its_holder_fails(gate: Gate) -> None:
    with pytest.raises(ZeroDivisionError), gate.enter(alone=True):
        _ = 1 / 0

    assert may_enter(gate, alone=True)


@pytest.mark.parametrize("alone", [False, True])
def test_a_closed_gate_lets_nobody_in(gate: Gate, alone: bool) -> None:
    gate.close()

    with pytest.raises(GateClosed), gate.enter(alone=alone):
        pass


def test_closing_releases_those_that_wait(gate: Gate) -> None:
    visitor = inside(gate)
    waiters = [waiting_alone(gate), Visitor(gate)]

    gate.close()

    for waiter in waiters:
        with pytest.raises(GateClosed):
            waiter.visit.result(timeout=20)
    visitor.leave()


def test_those_inside_a_closed_gate_may_finish(gate: Gate) -> None:
    visitor = inside(gate)

    gate.close()

    visitor.leave()
    assert gate._inside == 0
