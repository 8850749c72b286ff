"""Jobs that are paused, books charged as they go, and books whose budget runs out."""

from collections.abc import Callable

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from quire import jobs
from quire.errors import Conflict, NotFound
from quire.ids import new_id
from quire.jobs import Outcome, Report
from quire.standing import Blocker, held_by
from quire.store import Tenant, turns
from quire.store.base import now
from quire.store.job import Hold, Kind, State
from quire.testing import MODEL, Place
from tests.integration import steps


def do(place: Place, transition: Callable[[Session], int]) -> int:
    with place.database.service() as session:
        return transition(session)


def limit(place: Place, tokens: int | None) -> None:
    with place.database.service() as session:
        session.execute(update(Tenant).values(max_tokens_per_day=tokens))


def pause(place: Place, job_id: object) -> None:
    with place.database.tenant(place.tenant.id) as session:
        jobs.pause(session, place.tenant.id, job_id)


def resume(place: Place, job_id: object) -> None:
    with place.database.tenant(place.tenant.id) as session:
        jobs.resume(session, place.tenant.id, job_id)


def test_a_paused_job_is_not_claimed_until_it_is_resumed(place: Place) -> None:
    job = steps.queued(place)
    pause(place, job.id)
    worker = steps.worker(place)
    assert steps.claim(place, worker) == []
    assert held_by(steps.job(place, job.id)) is Blocker.PAUSED

    resume(place, job.id)

    assert [claimed.id for claimed in steps.claim(place, worker)] == [job.id]


def test_a_running_job_that_is_paused_keeps_its_text_and_shuts_its_worker_out(place: Place) -> None:
    claimed = steps.running(place)
    steps.commit(place, steps.report(claimed, "Once"))

    pause(place, claimed.id)

    assert steps.commit(place, steps.report(claimed, " upon")) == {claimed.id}
    row = steps.job(place, claimed.id)
    assert (row.state, row.hold, row.attempts) == (State.QUEUED, Hold.PAUSED, 0)
    assert steps.lane(place).running == 0
    resume(place, claimed.id)
    (again,) = steps.claim(place, steps.worker(place))
    assert [chunk.tokens for chunk in again.log] == [4]


def test_a_book_held_for_its_budget_is_not_freed_by_a_pause(place: Place) -> None:
    book = steps.running(place, kind=Kind.LONGFORM)
    steps.commit(place, steps.report(book, "Once"))
    limit(place, 10)
    assert do(place, jobs.hold_over_budget) == 1

    pause(place, book.id)
    resume(place, book.id)

    assert held_by(steps.job(place, book.id)) is Blocker.QUOTA
    assert steps.claim(place, steps.worker(place)) == []
    assert do(place, jobs.release_within_budget) == 0
    limit(place, None)
    assert do(place, jobs.release_within_budget) == 1
    assert [claimed.id for claimed in steps.claim(place, steps.worker(place))] == [book.id]


def test_a_book_that_had_not_begun_goes_on_at_once_when_it_is_resumed(place: Place) -> None:
    book = steps.queued(place, kind=Kind.LONGFORM)
    pause(place, book.id)

    resume(place, book.id)

    assert [claimed.id for claimed in steps.claim(place, steps.worker(place))] == [book.id]


def test_a_job_that_waits_for_its_time_goes_on_waiting_when_it_is_resumed(place: Place) -> None:
    from datetime import timedelta

    with place.database.service() as session:
        later = now(session) + timedelta(hours=1)
    job = steps.queued(place, not_before=later)
    pause(place, job.id)
    assert do(place, jobs.release_due) == 0

    resume(place, job.id)

    assert steps.job(place, job.id).hold == Hold.NOT_BEFORE


def test_what_is_over_or_not_there_is_not_paused(place: Place) -> None:
    claimed = steps.running(place)
    steps.succeed(place, claimed, "Once")
    for move in (pause, resume):
        with pytest.raises(Conflict):
            move(place, claimed.id)
        with pytest.raises(NotFound):
            move(place, new_id())


def test_a_book_charges_its_lane_as_it_goes_and_nothing_twice(place: Place) -> None:
    book = steps.running(place, kind=Kind.LONGFORM, estimate=50)
    for turn in (40, 60):
        steps.commit(place, Report(book.id, book.fence, turn=turn))
    assert (steps.lane(place).virtual_time, steps.lane(place).outstanding) == (150, 50)

    steps.commit(place, Report(book.id, book.fence, outcome=Outcome(State.QUEUED, work=5), turn=10))

    assert (steps.lane(place).virtual_time, steps.lane(place).outstanding) == (115, 0)


def test_a_book_that_went_on_is_not_blamed_for_the_workers_it_has_lost(place: Place) -> None:
    book = steps.queued(place, kind=Kind.LONGFORM)
    for _ in range(4):
        worker = steps.worker(place)
        (claimed,) = steps.claim(place, worker)
        row = steps.rows(claimed, "Once")
        steps.commit(place, Report(claimed.id, claimed.fence, row, turn=4))
        steps.die(place, worker)
        steps.requeue(place)
        assert steps.job(place, book.id).attempts == 1

    for _ in range(2):
        worker = steps.worker(place)
        (claimed,) = steps.claim(place, worker)
        steps.commit(place, Report(claimed.id, claimed.fence, turn=4))
        steps.die(place, worker)
        steps.requeue(place)

    assert steps.job(place, book.id).attempts == 2  # it stays where it is: the last one is run alone


def test_a_book_whose_worker_is_lost_is_charged_its_turn_not_all_its_text(place: Place) -> None:
    book = steps.running(place, kind=Kind.LONGFORM, estimate=50)
    steps.commit(place, steps.report(book, "x" * 1000))

    pause(place, book.id)

    assert steps.lane(place).virtual_time == 50


def test_a_worker_sees_who_waits_and_how_its_own_lanes_stand(place: Place) -> None:
    book = steps.running(place, kind=Kind.LONGFORM, estimate=50)
    other, capped = steps.tenant(place), steps.tenant(place, max_running=1)
    steps.many_queued(place, 3, other)
    steps.many_queued(place, 3, capped)

    with place.database.service() as session:
        waiting = {lane.tenant_id: lane.jobs for lane in turns.waiting(session, MODEL, most=2)}
        own = turns.virtual_times(session, MODEL, [place.tenant.id])

    assert waiting == {other.id: 2, capped.id: 1}
    assert own == {place.tenant.id: 50}
    assert book.tenant_id == place.tenant.id


def test_a_book_whose_budget_runs_out_is_held_with_its_text_until_it_is_raised(place: Place) -> None:
    book, text = steps.running(place, kind=Kind.LONGFORM), steps.running(place)
    steps.commit(place, steps.report(book, "Once"))
    limit(place, 10_000)
    assert do(place, jobs.hold_over_budget) == 0

    limit(place, 10)
    assert do(place, jobs.hold_over_budget) == 1
    assert do(place, jobs.release_within_budget) == 0

    row = steps.job(place, book.id)
    assert (row.state, held_by(row)) == (State.QUEUED, Blocker.QUOTA)
    assert steps.job(place, text.id).state is State.RUNNING
    limit(place, None)
    assert do(place, jobs.release_within_budget) == 1
    (again,) = steps.claim(place, steps.worker(place))
    assert (again.id, [chunk.tokens for chunk in again.log]) == (book.id, [4])
