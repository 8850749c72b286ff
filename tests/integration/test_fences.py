"""What a worker may still write of a job that is no longer its own: nothing."""

import pytest
from sqlalchemy import text

from quire import errors, jobs
from quire.ids import new_id
from quire.jobs import Claimed, Outcome, Report
from quire.store import chunk
from quire.store.job import State
from quire.testing import Place
from tests.integration import steps

DONE = Outcome(State.SUCCEEDED, work=9, completion_tokens=5)


def log_of(place: Place, claimed: Claimed) -> list[chunk.Chunk]:
    with place.database.service() as session:
        return chunk.of_jobs(session, [claimed.id])[claimed.id]


def reclaimed(place: Place) -> tuple[Claimed, Claimed]:
    """A job that was taken from one worker and runs on another: as both know it."""
    old = steps.running(place)
    steps.die(place, steps.job(place, old.id).worker_id)
    steps.requeue(place)
    (new,) = steps.claim(place, steps.worker(place))
    return old, new


def test_a_report_under_a_stale_fence_writes_no_text(place: Place) -> None:
    old, new = reclaimed(place)

    lost = steps.commit(place, steps.report(old, "late"))

    assert lost == {old.id}
    assert log_of(place, new) == []


def test_a_report_under_a_stale_fence_ends_nothing(place: Place) -> None:
    old, _ = reclaimed(place)

    steps.commit(place, steps.report(old, "late.", DONE))

    row = steps.job(place, old.id)
    assert (row.state, row.finished_at) == (State.RUNNING, None)
    assert steps.bill(place, old.id).settled_at is None


def test_the_new_run_is_not_disturbed_by_the_old_one(place: Place) -> None:
    old, new = reclaimed(place)
    steps.commit(place, steps.report(old, "late", DONE))

    assert steps.succeed(place, new, "Right") == set()

    assert steps.text_of(place, place.tenant, new.id) == "Right"


def test_of_two_runs_in_one_report_only_the_valid_one_is_written(place: Place) -> None:
    # A worker that lost its lease may claim its own job anew before it has noticed.
    old, new = reclaimed(place)

    with place.database.service() as session:
        lost = jobs.commit(session, [steps.report(old, "late"), steps.report(new, "Right")])

    assert lost == {old.run}
    assert steps.text_of(place, place.tenant, new.id) == "Right"


@pytest.mark.parametrize("reversed_order", [False, True])
def test_a_report_of_several_jobs_writes_those_that_are_still_its_own(place: Place, reversed_order: bool) -> None:
    old, _ = reclaimed(place)
    own = steps.running(place)
    reports = [steps.report(old, "late"), steps.report(own, "Right")]

    lost = steps.commit(place, *(reversed(reports) if reversed_order else reports))

    assert lost == {old.id}
    assert steps.text_of(place, place.tenant, own.id) == "Right"


def test_a_report_of_a_job_that_was_deleted_is_lost(place: Place) -> None:
    assert steps.commit(place, Report(new_id(), 1, (), DONE)) != set()


def test_a_job_put_back_by_its_worker_is_no_longer_its_own(place: Place) -> None:
    claimed = steps.running(place)
    steps.commit(place, steps.report(claimed, "Once", Outcome(State.QUEUED, 8)))

    assert steps.commit(place, steps.report(claimed, "more")) == {claimed.id}


def test_a_report_sent_twice_is_written_once(place: Place) -> None:
    # The answer to the first commit was lost, so the worker cannot know.
    claimed = steps.running(place)
    report = steps.report(claimed, "Once")
    steps.commit(place, report)

    lost = steps.commit(place, report)

    assert lost == set()
    assert steps.text_of(place, place.tenant, claimed.id) == "Once"


def test_an_outcome_sent_twice_counts_once(place: Place) -> None:
    claimed = steps.running(place)
    report = steps.report(claimed, "Once.", DONE)
    steps.commit(place, report)

    lost = steps.commit(place, report)

    lane = steps.lane(place)
    assert lost == {claimed.id}
    assert (lane.running, lane.virtual_time) == (0, DONE.work)


# ---- decrees -----------------------------------------------------------------------------------------------


def test_the_cancellation_of_a_running_job_is_terminal_at_once(place: Place) -> None:
    claimed = steps.running(place)

    job = steps.cancel(place, claimed.id)

    assert (job.state, job.fence, job.worker_id) == (State.CANCELLED, claimed.fence + 1, None)
    assert job.finished_at is not None


def test_a_cancelled_job_is_billed_for_what_was_committed(place: Place) -> None:
    claimed = steps.running(place)
    steps.commit(place, steps.report(claimed, "Hello"))

    job = steps.cancel(place, claimed.id)

    bill = steps.bill(place, claimed.id)
    assert job.completion_tokens == 5
    assert (bill.prompt_tokens, bill.completion_tokens) == (claimed.prompt_tokens, 5)


def test_what_a_worker_says_after_the_cancellation_is_lost(place: Place) -> None:
    claimed = steps.running(place)
    steps.commit(place, steps.report(claimed, "Hello"))
    steps.cancel(place, claimed.id)

    lost = steps.succeed(place, claimed, "Hello World")

    assert lost == {claimed.id}
    assert steps.job(place, claimed.id).state == State.CANCELLED
    assert steps.text_of(place, place.tenant, claimed.id) == "Hello"


def test_the_cancellation_of_a_terminal_job_changes_nothing(place: Place) -> None:
    claimed = steps.running(place)
    steps.succeed(place, claimed, "Hello")
    before = steps.job(place, claimed.id)

    job = steps.cancel(place, claimed.id)

    assert (job.state, job.fence, job.finished_at) == (State.SUCCEEDED, before.fence, before.finished_at)


def test_a_job_of_another_tenant_cannot_be_cancelled(place: Place) -> None:
    claimed = steps.running(place)

    with pytest.raises(errors.NotFound):
        steps.cancel(place, claimed.id, steps.tenant(place))


def overdue(place: Place) -> int:
    with place.database.service() as session:
        session.execute(text("UPDATE jobs SET deadline = clock_timestamp() - interval '1 second'"))
    with place.database.service() as session:
        return jobs.expire_overdue(session)


def test_a_running_job_past_its_deadline_expires_under_a_new_fence(place: Place) -> None:
    claimed = steps.running(place)
    steps.commit(place, steps.report(claimed, "Hello"))

    assert overdue(place) == 1

    job = steps.job(place, claimed.id)
    assert (job.state, job.fence, job.completion_tokens) == (State.EXPIRED, claimed.fence + 1, 5)


def test_a_queued_job_past_its_deadline_expires_without_a_bill(place: Place) -> None:
    queued = steps.queued(place)

    overdue(place)

    bill = steps.bill(place, queued.id)
    assert steps.job(place, queued.id).state == State.EXPIRED
    assert (bill.prompt_tokens, bill.completion_tokens) == (0, 0)


def test_a_claim_tells_how_long_the_deadline_is_away(place: Place) -> None:
    free, bound = steps.queued(place), steps.queued(place)
    with place.database.service() as session:
        session.execute(
            text("UPDATE jobs SET deadline = clock_timestamp() + interval '90 seconds' WHERE id = :id"),
            {"id": bound.id},
        )

    left = {claimed.id: claimed.seconds_left for claimed in steps.claim(place, steps.worker(place), k=2)}

    assert left[free.id] is None
    assert 60 < (left[bound.id] or 0) <= 90


def test_a_worker_expires_a_job_with_what_it_has_written(place: Place) -> None:
    claimed = steps.running(place)
    ended = Outcome(State.EXPIRED, work=9, completion_tokens=5)

    assert not steps.commit(place, steps.report(claimed, "Hello", outcome=ended))

    job, bill = steps.job(place, claimed.id), steps.bill(place, claimed.id)
    assert (job.state, job.completion_tokens) == (State.EXPIRED, 5)
    assert bill.completion_tokens == 5


def test_a_terminal_job_does_not_expire(place: Place) -> None:
    claimed = steps.running(place)
    steps.succeed(place, claimed)

    assert overdue(place) == 0
    assert steps.job(place, claimed.id).state == State.SUCCEEDED


def test_an_expired_run_gives_its_place_back(place: Place) -> None:
    steps.running(place)

    overdue(place)

    assert steps.lane(place).running == 0


# ---- deleting ----------------------------------------------------------------------------------------------


def delete(place: Place, claimed: Claimed) -> None:
    with place.database.tenant(place.tenant.id) as session:
        jobs.delete(session, place.tenant.id, claimed.id)


def test_a_running_job_cannot_be_deleted(place: Place) -> None:
    with pytest.raises(errors.Conflict, match="running"):
        delete(place, steps.running(place))


def test_a_deleted_job_takes_its_text_along_and_leaves_its_bill(place: Place) -> None:
    claimed = steps.running(place)
    steps.succeed(place, claimed, "Hello")

    delete(place, claimed)

    assert log_of(place, claimed) == []
    assert steps.bill(place, claimed.id).completion_tokens == 5
