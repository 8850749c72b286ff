"""How deep lanes are counted, and what is made of a count that stopped short."""

from types import SimpleNamespace

import pytest

from quire.ids import new_id
from scheduler.forecasting import BUDGET, DEEPEST, affordable, whole_lane


def test_lanes_that_were_never_counted_are_tried_a_little() -> None:
    stale = [(new_id(), 0) for _ in range(3)]

    assert affordable(stale) == {tenant: 50 for tenant, _ in stale}


def test_a_lane_is_counted_as_deep_as_it_may_have_grown() -> None:
    tenant = new_id()

    assert affordable([(tenant, 1000)]) == {tenant: 4050}


def test_the_first_lane_is_counted_whatever_it_costs_and_the_rest_wait() -> None:
    deep, shallow = new_id(), new_id()

    assert affordable([(deep, 10**9), (shallow, 0)]) == {deep: DEEPEST}


def test_the_budget_is_kept() -> None:
    stale = [(new_id(), 100) for _ in range(1000)]

    assert BUDGET - 450 < sum(affordable(stale).values()) <= BUDGET


def counted(jobs: int, most: int, *, first: int = 0, reached: int = 0, last: int | None = 0) -> SimpleNamespace:
    return SimpleNamespace(
        jobs=jobs, work=jobs * 10, most=most, first_seq=first, reached_seq=reached, last_seq=last
    )


@pytest.mark.parametrize(
    ("lane", "jobs"),
    [
        (counted(7, 50, first=100, reached=200, last=900), 7),
        (counted(50, 50, first=100, reached=200, last=900), 400),
        (counted(50, 50, first=100, reached=200, last=200), 50),
        (counted(1, 1, first=100, reached=100, last=900), 1),
        (counted(0, 50, last=None), 0),
    ],
    ids=["counted to its end", "stopped short", "just reached", "one says nothing", "empty"],
)
def test_the_rest_of_a_lane_is_as_dense_as_what_was_counted(lane: SimpleNamespace, jobs: int) -> None:
    assert whole_lane(lane) == (jobs, jobs * 10)
