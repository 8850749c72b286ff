"""Where a job stands in its lane, counted in Postgres."""

from uuid import UUID

import pytest
from sqlalchemy import select, text

from quire import jobs
from quire.store import Job, waiting
from quire.store.waiting import Ahead
from quire.testing import Place
from tests.integration import steps


def ahead(place: Place, job: Job) -> Ahead:
    with place.database.tenant(job.tenant_id) as session:
        return waiting.ahead_of(session, job)


def places(place: Place, *listed: Job) -> dict[UUID, int | None]:
    with place.database.tenant(place.tenant.id) as session:
        return waiting.places(session, place.tenant.id, listed)


@pytest.fixture
def shallow(monkeypatch: pytest.MonkeyPatch) -> int:
    """Count three places one by one, instead of a thousand."""
    monkeypatch.setattr(waiting, "EXACT", 3)
    return 3


def test_the_next_job_of_a_lane_has_nothing_before_it(place: Place) -> None:
    first, second = steps.queued(place), steps.queued(place)

    assert (ahead(place, first), ahead(place, second)) == (Ahead(0, 0), Ahead(1, first.estimate))


def test_a_job_of_higher_priority_stands_before(place: Place) -> None:
    waits = steps.queued(place)
    steps.queued(place, priority=1)
    steps.queued(place, priority=-1)

    assert ahead(place, waits).jobs == 1


def test_a_job_that_was_claimed_stands_before_nobody(place: Place) -> None:
    steps.queued(place)
    waits = steps.queued(place)

    steps.claim(place, steps.worker(place))

    assert ahead(place, waits).jobs == 0


def test_the_jobs_of_other_tenants_do_not_count(place: Place) -> None:
    steps.many_queued(place, 3, steps.tenant(place))

    assert ahead(place, steps.queued(place)).jobs == 0


def test_what_is_before_a_job_is_counted_so_far_and_no_further(place: Place, shallow: int) -> None:
    steps.many_queued(place, 2)
    steps.many_queued(place, 3, priority=1)

    assert ahead(place, steps.queued(place)).jobs == shallow


def test_jobs_of_a_list_have_the_places_that_they_have_alone(place: Place) -> None:
    listed = [steps.queued(place, priority=priority) for priority in (0, 1, 0, -1)]

    assert places(place, *listed) == {job.id: ahead(place, job).jobs + 1 for job in listed}


def test_a_job_far_behind_has_no_place_in_a_list(place: Place, shallow: int) -> None:
    listed = [steps.queued(place) for _ in range(shallow + 1)]

    found = places(place, *listed)

    assert [found[job.id] for job in listed] == [1, 2, 3, None]


def test_a_job_claimed_meanwhile_is_left_out_of_the_places(place: Place) -> None:
    first, second = steps.queued(place), steps.queued(place)
    steps.claim(place, steps.worker(place))

    assert places(place, first, second) == {second.id: 1}


def test_what_is_seen_of_a_lane_is_ones_own(place: Place) -> None:
    other = steps.tenant(place, weight=3, max_running=2)
    steps.queued(place)
    waits = steps.queued(place, other)
    steps.worker(place, slots=5)

    with place.database.tenant(other.id) as session:
        seen = waiting.view(session, waits)

    assert (seen.tenant.id, seen.tenant.weight, seen.lane.tenant_id) == (other.id, 3, other.id)
    assert (seen.live_slots, seen.counted, seen.forecast, seen.age) == (5, None, None, None)


def test_the_slots_that_others_have_taken_are_seen_by_every_tenant(place: Place) -> None:
    other = steps.tenant(place)
    worker, draining = steps.worker(place, slots=5), steps.worker(place, slots=5)
    steps.many_queued(place, 3)
    steps.claim(place, worker, 2)
    steps.claim(place, draining, 1)
    waits = steps.queued(place, other)
    with place.database.service() as session:
        session.execute(text("UPDATE workers SET draining = true WHERE id = :id"), {"id": draining})

    with place.database.tenant(other.id) as session:
        seen = waiting.view(session, waits)

    assert (seen.live_slots, seen.live_running) == (5, 2)


def test_a_cancelled_job_stands_before_nobody(place: Place) -> None:
    first, second = steps.queued(place), steps.queued(place)
    with place.database.tenant(place.tenant.id) as session:
        jobs.cancel(session, place.tenant.id, first.id)

    assert ahead(place, second).jobs == 0


def test_a_lane_is_found_by_its_index_alone(place: Place) -> None:
    """Whatever is before a job is found without reading what is behind it."""
    steps.in_bulk(place, 2000)
    steps.analyse(place, "jobs")
    with place.database.service() as session:
        session.execute(text("SET LOCAL enable_seqscan = off"))
        first = session.scalars(select(Job).order_by(Job.seq).limit(1)).one()
        where = {"model": first.model, "tenant": first.tenant_id, "priority": 0, "seq": first.seq, "most": 1000}
        plan = "\n".join(session.scalars(text(f"EXPLAIN {waiting.AHEAD.text}"), where))

    assert "jobs_runnable" in plan
    assert "Filter" not in plan
