from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.engine.batcher import Batcher, Move


def test_items_get_slots_in_the_order_they_came() -> None:
    batcher: Batcher[str] = Batcher(slots=2, token_budget=100)
    for name in "abc":
        batcher.add(name, 10)

    assert [batcher.admit(), batcher.admit(), batcher.admit()] == [("a", 0), ("b", 1), None]
    assert batcher.waiting == ["c"]


def test_an_item_that_does_not_fit_holds_back_those_behind_it() -> None:
    batcher: Batcher[str] = Batcher(slots=4, token_budget=100)
    for name, tokens in (("a", 60), ("big", 50), ("small", 1)):
        batcher.add(name, tokens)

    assert batcher.admit() == ("a", 0)
    assert batcher.admit() is None
    batcher.release(0)
    assert [batcher.admit(), batcher.admit()] == [("big", 0), ("small", 1)]


def test_the_last_item_fills_the_gap_of_a_released_slot() -> None:
    batcher: Batcher[str] = Batcher(slots=3, token_budget=100)
    for name in "abc":
        batcher.add(name, 1)
        batcher.admit()

    assert batcher.release(0) == Move(source=2, target=0)
    assert batcher.running == ["c", "b"]
    assert batcher.release(1) is None


@pytest.mark.parametrize("tokens", [0, -1, 101])
def test_an_item_that_can_never_run_is_refused(tokens: int) -> None:
    with pytest.raises(ValueError, match="can never fit"):
        Batcher[str](slots=1, token_budget=100).add("a", tokens)


def test_a_waiting_item_can_be_withdrawn_and_a_running_one_cannot() -> None:
    batcher: Batcher[str] = Batcher(slots=1, token_budget=100)
    batcher.add("runs", 1)
    batcher.add("waits", 1)
    batcher.admit()

    assert batcher.withdraw("waits")
    assert not batcher.withdraw("runs")
    assert list(batcher) == ["runs"]


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 50)),
        st.tuples(st.just("admit"), st.just(0)),
        st.tuples(st.just("release"), st.integers(0, 7)),
        st.tuples(st.just("withdraw"), st.integers(0, 7)),
    ),
    max_size=80,
)


@given(slots=st.integers(1, 5), budget=st.integers(50, 120), actions=ACTIONS)
def test_whatever_happens_nothing_is_overcommitted_lost_or_overtaken(
    slots: int, budget: int, actions: list[tuple[str, int]]
) -> None:
    batcher: Batcher[int] = Batcher(slots=slots, token_budget=budget)
    sizes: dict[int, int] = {}
    waiting: deque[int] = deque()
    running: list[int] = []  # a model: an item's index is its slot

    for action, number in actions:
        if action == "add":
            item = len(sizes)
            sizes[item] = number
            batcher.add(item, number)
            waiting.append(item)
        elif action == "admit":
            admitted = batcher.admit()
            fits = bool(waiting) and len(running) < slots
            fits = fits and sum(sizes[i] for i in running) + sizes[waiting[0]] <= budget
            assert (admitted is not None) == fits
            if admitted is not None:
                assert admitted == (waiting.popleft(), len(running))
                running.append(admitted[0])
        elif action == "release" and number < len(running):
            move = batcher.release(number)
            last = running.pop()
            assert (move is not None) == (number < len(running))
            if move is not None:
                assert (move.source, move.target) == (len(running), number)
                running[number] = last
        elif action == "withdraw" and number < len(waiting):
            item = waiting[number]
            assert batcher.withdraw(item)
            waiting.remove(item)

        assert list(batcher.running) == running
        assert list(batcher.waiting) == list(waiting)
        assert batcher.reserved_tokens == sum(sizes[i] for i in running) <= budget
        assert len(batcher.running) <= slots
        assert len(batcher) == len(running) + len(waiting)

    assert batcher.clear() == [*running, *waiting]
    assert (len(batcher), batcher.reserved_tokens) == (0, 0)
