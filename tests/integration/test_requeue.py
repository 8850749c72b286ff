"""Jobs whose worker is gone: what they keep, what is counted, and when they are given up."""

from dataclasses import replace
from uuid import UUID

import pytest
from sqlalchemy import select, text

from quire import jobs
from quire.ids import new_id
from quire.jobs import Claimed, Outcome
from quire.store import blame
from quire.store.job import Job, Run, State
from quire.testing import Place
from tests.integration import steps

MAX_ATTEMPTS = 3


def crash(place: Place, claimed: Claimed) -> int:
    """Let a job's worker die, and the reaper come by."""
    steps.die(place, steps.job(place, claimed.id).worker_id)
    return steps.requeue(place, MAX_ATTEMPTS)


def crashed(place: Place, times: int) -> Claimed:
    """A job that has survived so many crashes, and runs again."""
    claimed = steps.running(place)
    for _ in range(times):
        crash(place, claimed)
        (claimed,) = steps.claim(place, steps.worker(place))
    return claimed


def alone(place: Place, claimed: Claimed) -> bool:
    with place.database.service() as session:
        return blame.mark_alone(session, claimed.id, claimed.fence)


def test_a_job_whose_worker_is_gone_is_queued_under_a_new_fence(place: Place) -> None:
    claimed = steps.running(place)

    assert crash(place, claimed) == 1

    row = steps.job(place, claimed.id)
    assert (row.state, row.fence, row.worker_id) == (State.QUEUED, claimed.fence + 1, None)


def test_a_job_whose_worker_lives_is_left_alone(place: Place) -> None:
    steps.running(place)

    assert steps.requeue(place) == 0


def test_a_lapsed_lease_that_nobody_ended_is_left_alone(place: Place) -> None:
    steps.running(place)
    with place.database.service() as session:
        session.execute(text("UPDATE workers SET lease_until = clock_timestamp() - interval '1 hour'"))

    assert steps.requeue(place) == 0


def test_a_requeued_job_is_claimed_again_with_its_log(place: Place) -> None:
    claimed = steps.running(place)
    steps.commit(place, steps.report(claimed, "Once "))
    crash(place, claimed)

    (again,) = steps.claim(place, steps.worker(place))
    steps.succeed(place, again, "upon")

    assert [chunk.tokens for chunk in again.log] == [5]
    assert steps.text_of(place, place.tenant, claimed.id) == "Once upon"


def test_a_crash_counts_one_attempt(place: Place) -> None:
    assert crashed(place, 1).attempts == 1


def test_a_drained_job_keeps_its_attempts(place: Place) -> None:
    claimed = crashed(place, 1)

    steps.commit(place, steps.report(claimed, "Once", Outcome(State.QUEUED, 8)))

    assert steps.job(place, claimed.id).attempts == 1


def test_a_crash_gives_the_place_in_the_lane_back(place: Place) -> None:
    crash(place, steps.running(place))

    lane = steps.lane(place)
    assert (lane.running, lane.ready) == (0, True)


def test_a_crash_is_charged_for_prompt_and_committed_text(place: Place) -> None:
    claimed = steps.running(place)
    steps.commit(place, steps.report(claimed, "Once"))

    crash(place, claimed)

    assert steps.lane(place).virtual_time == claimed.prompt_tokens + 4


def test_the_last_attempt_is_not_counted_when_a_neighbour_may_be_to_blame(place: Place) -> None:
    claimed = crashed(place, MAX_ATTEMPTS - 1)

    crash(place, claimed)

    row = steps.job(place, claimed.id)
    assert (row.state, row.attempts) == (State.QUEUED, MAX_ATTEMPTS - 1)


def test_a_crash_while_alone_before_the_last_attempt_is_one_attempt(place: Place) -> None:
    claimed = crashed(place, 1)
    alone(place, claimed)

    crash(place, claimed)

    row = steps.job(place, claimed.id)
    assert (row.state, row.attempts) == (State.QUEUED, 2)


def test_a_job_that_was_alone_on_its_last_attempt_is_given_up(place: Place) -> None:
    claimed = crashed(place, MAX_ATTEMPTS - 1)
    steps.commit(place, steps.report(claimed, "Once"))
    alone(place, claimed)

    crash(place, claimed)

    row = steps.job(place, claimed.id)
    assert (row.state, row.error["code"], row.attempts) == (State.FAILED, "worker_lost", MAX_ATTEMPTS)
    assert steps.bill(place, claimed.id).completion_tokens == 4


def neighbours(place: Place, killer: Claimed, count: int) -> list[Claimed]:
    """Jobs on the worker that another job runs on."""
    steps.many_queued(place, count)
    return steps.claim(place, steps.job(place, killer.id).worker_id, count)


def killed(place: Place, killer: Claimed) -> int:
    """Let a job kill its worker; returns how many jobs were acquitted."""
    steps.die(place, steps.job(place, killer.id).worker_id)
    with place.database.service() as session:
        acquitted = jobs.acquit_neighbours(session, MAX_ATTEMPTS)
    steps.requeue(place, MAX_ATTEMPTS)
    return acquitted


def claimed_again(place: Place, job_id: UUID) -> Claimed:
    """The same job on a worker that takes all there is."""
    return next(claimed for claimed in steps.claim(place, steps.worker(place), 9) if claimed.id == job_id)


def test_jobs_that_waited_for_one_that_was_alone_are_counted_nothing(place: Place) -> None:
    killer = crashed(place, MAX_ATTEMPTS - 1)
    waiting = neighbours(place, killer, 2)
    alone(place, killer)

    crash(place, killer)

    rows = [steps.job(place, job.id) for job in waiting]
    assert [(row.state, row.attempts) for row in rows] == [(State.QUEUED, 0)] * 2


def test_jobs_that_another_scheduler_looks_at_after_it_was_given_up_are_counted_nothing(place: Place) -> None:
    killer = crashed(place, MAX_ATTEMPTS - 1)
    (waiting,) = neighbours(place, killer, 1)
    alone(place, killer)
    with place.database.service() as other:
        other.execute(select(Job).where(Job.id == waiting.id).with_for_update())
        crash(place, killer)
    assert steps.job(place, killer.id).state is State.FAILED

    steps.requeue(place, MAX_ATTEMPTS)

    row = steps.job(place, waiting.id)
    assert (row.state, row.attempts) == (State.QUEUED, 0)


def test_a_job_found_to_kill_workers_is_blamed_for_those_it_killed_in_company(place: Place) -> None:
    killer = steps.running(place)
    ended, waiting = neighbours(place, killer, 2)
    killed(place, killer)
    killer = claimed_again(place, killer.id)
    killed(place, killer)
    assert [steps.job(place, job.id).attempts for job in (killer, ended, waiting)] == [2, 2, 2]
    killer = claimed_again(place, killer.id)
    steps.succeed(place, replace(ended, fence=steps.job(place, ended.id).fence))
    alone(place, killer)

    assert killed(place, killer) == 2

    rows = [steps.job(place, job.id) for job in (killer, ended, waiting)]
    assert [(row.state, row.attempts) for row in rows] == [
        (State.FAILED, MAX_ATTEMPTS), (State.SUCCEEDED, 0), (State.QUEUED, 0)
    ]  # fmt: skip


def test_a_worker_that_died_of_something_else_stays_counted(place: Place) -> None:
    victim = steps.running(place)
    crash(place, victim)
    (killer,) = neighbours(place, claimed_again(place, victim.id), 1)
    for _ in range(MAX_ATTEMPTS - 1):
        killed(place, killer)
        killer = claimed_again(place, killer.id)
    alone(place, killer)

    killed(place, killer)

    assert steps.job(place, victim.id).attempts == 1


def test_a_job_that_was_alone_before_its_last_attempt_blames_nobody(place: Place) -> None:
    killer = steps.running(place)
    (neighbour,) = neighbours(place, killer, 1)
    killed(place, killer)
    killer = claimed_again(place, killer.id)
    alone(place, killer)

    assert killed(place, killer) == 0
    assert steps.job(place, neighbour.id).attempts == 1


def test_being_alone_is_forgotten_with_the_next_claim(place: Place) -> None:
    claimed = crashed(place, MAX_ATTEMPTS - 1)
    alone(place, claimed)
    steps.commit(place, steps.report(claimed, outcome=Outcome(State.QUEUED, 0)))

    steps.claim(place, steps.worker(place))

    assert not steps.job(place, claimed.id).alone


def test_a_job_is_not_marked_alone_under_a_stale_fence(place: Place) -> None:
    claimed = steps.running(place)
    crash(place, claimed)
    (again,) = steps.claim(place, steps.worker(place))

    assert not alone(place, claimed)
    assert not steps.job(place, again.id).alone


# ---- claims whose answer was lost --------------------------------------------------------------------------


def put_back(place: Place, worker: UUID, known: set[Run]) -> int:
    with place.database.service() as session:
        return jobs.put_back_unknown(session, worker, known)


@pytest.fixture
def forgetful(place: Place) -> tuple[Claimed, Claimed]:
    """Two jobs of one worker, which knows only of the first."""
    steps.many_queued(place, 2)
    known, unknown = steps.claim(place, steps.worker(place), 2)
    return known, unknown


def test_a_job_that_its_worker_does_not_know_of_is_put_back(
    place: Place, forgetful: tuple[Claimed, Claimed]
) -> None:
    known, unknown = forgetful
    worker = steps.job(place, known.id).worker_id

    assert put_back(place, worker, {known.run}) == 1

    assert steps.job(place, known.id).state == State.RUNNING
    assert steps.job(place, unknown.id).state == State.QUEUED


def test_a_job_that_is_put_back_has_lost_nothing(place: Place, forgetful: tuple[Claimed, Claimed]) -> None:
    known, unknown = forgetful
    worker = steps.job(place, known.id).worker_id

    put_back(place, worker, {known.run})

    (again,) = steps.claim(place, worker)
    assert (again.id, again.attempts) == (unknown.id, 0)


def test_jobs_of_other_workers_are_not_put_back(place: Place) -> None:
    steps.running(place)

    assert put_back(place, new_id(), set()) == 0
