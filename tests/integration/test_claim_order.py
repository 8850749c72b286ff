"""Which jobs a claim takes from one lane, and who may claim."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from quire import jobs
from quire.ids import new_id
from quire.store.job import Hold, State
from quire.testing import Place
from tests.integration import steps

SOON = timedelta(hours=1)


def one_by_one(place: Place, count: int) -> list:
    worker = steps.worker(place)
    return [claimed.id for _ in range(count) for claimed in steps.claim(place, worker)]


def test_jobs_of_one_lane_are_claimed_in_the_order_of_submission(place: Place) -> None:
    submitted = steps.many_queued(place, 6)

    assert one_by_one(place, 6) == submitted


def test_a_higher_priority_goes_first_however_late_it_came(place: Place) -> None:
    low, high, middle = (steps.queued(place, priority=priority).id for priority in (0, 9, 5))

    assert one_by_one(place, 3) == [high, middle, low]


def test_jobs_of_equal_priority_keep_their_order(place: Place) -> None:
    first = steps.queued(place, priority=1).id
    steps.queued(place, priority=0)
    second = steps.queued(place, priority=1).id

    assert one_by_one(place, 2) == [first, second]


@pytest.mark.parametrize(("k", "expected"), [(1, 1), (3, 3), (5, 5), (8, 5)])
def test_a_claim_takes_k_jobs_or_what_there_is(place: Place, k: int, expected: int) -> None:
    steps.many_queued(place, 5)

    assert len(steps.claim(place, steps.worker(place), k)) == expected


def test_a_claim_of_nothing_is_empty(place: Place) -> None:
    assert steps.claim(place, steps.worker(place), 8) == []


def test_a_claimed_job_runs_on_its_worker_under_a_new_fence(place: Place) -> None:
    queued = steps.queued(place)
    worker = steps.worker(place)

    (claimed,) = steps.claim(place, worker)

    row = steps.job(place, queued.id)
    assert (row.state, row.worker_id, row.fence, row.numerics) == (State.RUNNING, worker, 1, "fake")
    assert (claimed.fence, claimed.attempts, claimed.seed) == (1, 0, queued.seed)


def test_a_claim_of_another_model_gets_nothing(place: Place) -> None:
    steps.queued(place)

    assert steps.claim(place, steps.worker(place), 8, model="another") == []


def test_a_job_that_moves_to_other_numerics_says_so(place: Place) -> None:
    first = steps.running(place)
    steps.commit(place, steps.report(first, "Once ", jobs.Outcome(State.QUEUED, 9)))

    steps.claim(place, steps.worker(place), numerics="other")

    row = steps.job(place, first.id)
    assert (row.numerics, row.numerics_changed) == ("other", True)


def test_a_job_that_stays_on_its_numerics_says_nothing(place: Place) -> None:
    first = steps.running(place)
    steps.commit(place, steps.report(first, outcome=jobs.Outcome(State.QUEUED, 0)))

    steps.claim(place, steps.worker(place), numerics="fake")

    assert not steps.job(place, first.id).numerics_changed


# ---- who may claim -----------------------------------------------------------------------------------------


def test_a_worker_whose_lease_ran_out_gets_nothing(place: Place) -> None:
    steps.queued(place)

    assert steps.claim(place, steps.worker(place, lease=-1)) == []


def test_a_worker_without_a_lease_gets_nothing(place: Place) -> None:
    steps.queued(place)

    assert steps.claim(place, new_id()) == []


def test_a_draining_worker_gets_nothing(place: Place) -> None:
    steps.queued(place)
    worker = steps.worker(place)
    with place.database.service() as session:
        session.execute(text("UPDATE workers SET draining = true"))

    assert steps.claim(place, worker) == []


# ---- held jobs ---------------------------------------------------------------------------------------------


def test_a_job_for_later_is_not_claimed(place: Place) -> None:
    held = steps.queued(place, not_before=datetime.now(UTC) + SOON)

    assert steps.claim(place, steps.worker(place)) == []
    assert steps.job(place, held.id).hold == Hold.NOT_BEFORE


def test_a_job_whose_time_has_passed_when_it_is_submitted_is_not_held(place: Place) -> None:
    queued = steps.queued(place, not_before=datetime.now(UTC) - SOON)

    assert [claimed.id for claimed in steps.claim(place, steps.worker(place))] == [queued.id]


def test_a_held_job_is_not_released_before_its_time(place: Place) -> None:
    steps.queued(place, not_before=datetime.now(UTC) + SOON)

    with place.database.service() as session:
        assert jobs.release_due(session) == 0


def test_a_held_job_is_claimed_once_it_is_released(place: Place) -> None:
    held = steps.queued(place, not_before=datetime.now(UTC) + SOON)
    with place.database.service() as session:
        session.execute(text("UPDATE jobs SET not_before = clock_timestamp()"))

    with place.database.service() as session:
        assert jobs.release_due(session) == 1

    assert [claimed.id for claimed in steps.claim(place, steps.worker(place))] == [held.id]


def test_a_cancelled_job_is_not_claimed(place: Place) -> None:
    steps.cancel(place, steps.queued(place).id)

    assert steps.claim(place, steps.worker(place), 8) == []


def test_a_claim_passes_over_a_job_that_is_being_cancelled(place: Place) -> None:
    first, second = steps.many_queued(place, 2)
    with place.database.tenant(place.tenant.id) as session:
        jobs.cancel(session, place.tenant.id, first)

        claimed = steps.claim(place, steps.worker(place), 2)

    assert [one.id for one in claimed] == [second]
