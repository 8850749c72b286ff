"""How a claim shares a model between lanes, and what it charges them."""

from collections import Counter
from itertools import pairwise

import pytest

from quire import jobs
from quire.spec import Parameters
from quire.store.job import State
from quire.testing import Place
from tests.integration import steps

ESTIMATE = 20  # of the factory's job: 4 tokens of prompt and 16 to write


def test_two_equal_lanes_take_turns(place: Place) -> None:
    other = steps.tenant(place)
    steps.many_queued(place, 10)
    steps.many_queued(place, 10, other)
    worker = steps.worker(place)

    served = [steps.lanes_of(steps.claim(place, worker))[0] for _ in range(20)]

    assert all(first != second for first, second in pairwise(served))


def test_the_jobs_of_one_claim_come_in_their_turn(place: Place) -> None:
    other = steps.tenant(place)
    steps.many_queued(place, 10)
    steps.many_queued(place, 10, other)

    served = steps.lanes_of(steps.claim(place, steps.worker(place), 12))

    assert all(first != second for first, second in pairwise(served))


def test_a_lane_of_small_jobs_may_win_most_of_a_claim(place: Place) -> None:
    small = steps.tenant(place)
    steps.many_queued(place, 10, estimate=90)
    steps.many_queued(place, 20, small, estimate=10)

    served = Counter(steps.lanes_of(steps.claim(place, steps.worker(place), 10)))

    assert served == {small.id: 9, place.tenant.id: 1}


@pytest.mark.parametrize("k", [3, 8])
def test_two_equal_lanes_are_never_a_job_apart_after_a_claim_of_many(place: Place, k: int) -> None:
    other = steps.tenant(place)
    steps.many_queued(place, 4 * k)
    steps.many_queued(place, 4 * k, other)
    worker, served = steps.worker(place), Counter()

    for _ in range(4):
        served.update(steps.lanes_of(steps.claim(place, worker, k)))
        assert abs(served[place.tenant.id] - served[other.id]) <= 1


def test_a_lane_of_long_jobs_gets_the_same_tokens_as_one_of_short_jobs(place: Place) -> None:
    other = steps.tenant(place)
    steps.many_queued(place, 40)
    steps.many_queued(place, 10, other, parameters=Parameters(max_tokens=76))  # 80 tokens each, four times as much
    worker, tokens = steps.worker(place), Counter()

    for _ in range(20):
        for claimed in steps.claim(place, worker):
            tokens[claimed.tenant_id] += steps.job(place, claimed.id).charged

    assert tokens[place.tenant.id] == tokens[other.id]


def test_lanes_share_claimed_tokens_by_their_weights(place: Place) -> None:
    tenants = {weight: steps.tenant(place, weight=weight) for weight in (1, 2, 4)}
    for owner in tenants.values():
        steps.many_queued(place, 50, owner)
    worker, served = steps.worker(place), Counter()

    for _ in range(10):
        served.update(steps.lanes_of(steps.claim(place, worker, 7)))

    assert {weight: served[owner.id] for weight, owner in tenants.items()} == {1: 10, 2: 20, 4: 40}


def test_more_lanes_than_a_claim_looks_at_are_all_served(place: Place) -> None:
    tenants = [steps.tenant(place) for _ in range(40)]
    for owner in tenants:
        steps.queued(place, owner)
    worker = steps.worker(place)

    served = [lane for _ in range(5) for lane in steps.lanes_of(steps.claim(place, worker, 8))]

    assert sorted(served) == sorted(owner.id for owner in tenants)


# ---- caps --------------------------------------------------------------------------------------------------


def test_a_lane_never_runs_more_than_its_cap(place: Place) -> None:
    capped = steps.tenant(place, max_running=2)
    steps.many_queued(place, 5, capped)

    assert len(steps.claim(place, steps.worker(place), 8)) == 2


def test_a_lane_at_its_cap_gets_a_place_when_a_job_of_it_ends(place: Place) -> None:
    capped = steps.tenant(place, max_running=2)
    steps.many_queued(place, 5, capped)
    worker = steps.worker(place)
    first, _ = steps.claim(place, worker, 8)
    assert steps.claim(place, worker, 8) == []

    steps.succeed(place, first)

    assert len(steps.claim(place, worker, 8)) == 1


def test_a_lane_at_its_cap_leaves_the_places_to_others(place: Place) -> None:
    capped = steps.tenant(place, max_running=1)
    steps.many_queued(place, 5, capped)
    steps.many_queued(place, 5)

    served = Counter(steps.lanes_of(steps.claim(place, steps.worker(place), 6)))

    assert served == {capped.id: 1, place.tenant.id: 5}


# ---- virtual time ------------------------------------------------------------------------------------------


def test_a_claim_charges_the_estimate_over_the_weight(place: Place) -> None:
    heavy = steps.tenant(place, weight=4)
    steps.many_queued(place, 3, heavy)

    steps.claim(place, steps.worker(place), 2)

    lane = steps.lane(place, heavy)
    assert (lane.virtual_time, lane.running, lane.outstanding) == (2 * ESTIMATE / 4, 2, 2 * ESTIMATE)


def test_the_end_of_a_job_corrects_the_charge_to_the_work_done(place: Place) -> None:
    heavy = steps.tenant(place, weight=4)
    steps.queued(place, heavy)
    (claimed,) = steps.claim(place, steps.worker(place))

    steps.succeed(place, claimed, "Once upon", work=13)

    lane = steps.lane(place, heavy)
    assert (lane.virtual_time, lane.running, lane.outstanding) == (13 / 4, 0, 0)


def test_work_above_the_estimate_is_charged_too(place: Place) -> None:
    claimed = steps.running(place)

    steps.succeed(place, claimed, work=ESTIMATE + 7)

    assert steps.lane(place).virtual_time == ESTIMATE + 7


def test_each_claim_of_a_job_is_charged(place: Place) -> None:
    first = steps.running(place)
    steps.commit(place, steps.report(first, "Once", jobs.Outcome(State.QUEUED, 8)))
    (second,) = steps.claim(place, steps.worker(place))

    steps.succeed(place, second, "!", work=11)

    assert steps.lane(place).virtual_time == 8 + 11


def test_a_cancelled_run_is_charged_for_prompt_and_committed_text(place: Place) -> None:
    claimed = steps.running(place)
    steps.commit(place, steps.report(claimed, "Hello"))

    steps.cancel(place, claimed.id)

    lane = steps.lane(place)
    assert (lane.virtual_time, lane.running) == (claimed.prompt_tokens + 5, 0)


def test_the_cancellation_of_a_queued_job_charges_nothing(place: Place) -> None:
    steps.cancel(place, steps.queued(place).id)

    lane = steps.lane(place)
    assert (lane.virtual_time, lane.running) == (0, 0)


def test_the_virtual_now_is_the_work_that_is_done(place: Place) -> None:
    steps.many_queued(place, 5)
    worker = steps.worker(place)
    first, *_ = steps.claim(place, worker, 3)
    assert steps.virtual_now(place) == 0

    steps.succeed(place, first, work=13)
    steps.claim(place, worker)

    assert steps.virtual_now(place) == 13


@pytest.mark.parametrize("work", [2, ESTIMATE])
def test_a_newcomer_gets_its_half_however_wrong_the_estimates_are(place: Place, work: int) -> None:
    worker, slots = steps.worker(place), 8
    steps.many_queued(place, 120)
    running = steps.claim(place, worker, slots)
    for _ in range(40):
        steps.succeed(place, running.pop(0), work=work)
        running += steps.claim(place, worker)
    newcomer = steps.tenant(place)
    steps.many_queued(place, 60, newcomer)

    served = Counter()
    for _ in range(40):
        steps.succeed(place, running.pop(0), work=work)
        running += (claimed := steps.claim(place, worker))
        served.update(steps.lanes_of(claimed))

    # It may first fill as many slots as the other holds, and then they take turns.
    assert 20 <= served[newcomer.id] <= 20 + slots


def test_a_lane_that_wakes_starts_at_the_virtual_now(place: Place) -> None:
    steps.many_queued(place, 5)
    steps.claim(place, steps.worker(place), 3)
    newcomer = steps.tenant(place)

    steps.queued(place, newcomer)

    assert steps.lane(place, newcomer).virtual_time == steps.virtual_now(place)


def test_a_lane_that_wakes_ahead_of_the_virtual_now_keeps_its_time(place: Place) -> None:
    worker = steps.worker(place)
    steps.running(place)
    assert steps.claim(place, worker) == []  # the lane is found empty, and sleeps
    assert not steps.lane(place).ready

    steps.queued(place)

    lane = steps.lane(place)
    assert (lane.ready, lane.virtual_time) == (True, ESTIMATE)


def test_idle_time_is_not_banked(place: Place) -> None:
    idle = steps.tenant(place)
    worker = steps.worker(place)
    steps.many_queued(place, 40)
    for claimed in steps.claim(place, worker, 20):
        steps.succeed(place, claimed, work=ESTIMATE)
    steps.claim(place, worker)

    steps.many_queued(place, 20, idle)
    served = Counter(steps.lanes_of(steps.claim(place, worker, 10)))

    assert served[idle.id] <= 6


def test_a_lane_found_empty_sleeps_until_its_next_job(place: Place) -> None:
    worker = steps.worker(place)
    steps.running(place)
    steps.claim(place, worker)

    queued = steps.queued(place)

    assert [claimed.id for claimed in steps.claim(place, worker)] == [queued.id]


def test_a_lane_at_its_cap_does_not_sleep(place: Place) -> None:
    capped = steps.tenant(place, max_running=1)
    steps.many_queued(place, 2, capped)
    worker = steps.worker(place)
    steps.claim(place, worker, 4)

    steps.claim(place, worker, 4)

    assert steps.lane(place, capped).ready


def test_a_cancelled_choice_of_the_best_is_charged_the_draws_that_nobody_sees(place: Place) -> None:
    claimed = steps.running(place, parameters=Parameters(max_tokens=10, n=1, best_of=4))

    steps.cancel(place, claimed.id)

    assert steps.lane(place).virtual_time == len("Once") + 4 * 10
