"""What is counted for the scheduler: runnable jobs and free slots."""

import pytest
from sqlalchemy import text

from quire.store import job_counts
from quire.store import model as models
from quire.testing import MODEL, Place
from tests.integration import steps


def startable(place: Place, limit: int) -> int:
    with place.database.service() as session:
        return job_counts.startable(session, MODEL, limit)


def free_slots(place: Place) -> dict[str, int]:
    with place.database.service() as session:
        return job_counts.free_slots_by_model(session)


def test_only_jobs_that_could_start_are_counted(place: Place) -> None:
    steps.many_queued(place, 3)
    steps.claim(place, steps.worker(place))

    assert startable(place, 8) == 2


def test_startable_jobs_are_counted_no_further_than_asked(place: Place) -> None:
    steps.many_queued(place, 3)
    steps.many_queued(place, 3, steps.tenant(place))

    assert startable(place, 4) == 4


def test_jobs_of_a_lane_at_its_cap_could_not_start(place: Place) -> None:
    capped = steps.tenant(place, max_running=2)
    steps.many_queued(place, 5, capped)
    steps.claim(place, steps.worker(place))
    before = startable(place, 8)
    steps.claim(place, steps.worker(place))

    assert (before, startable(place, 8)) == (1, 0)


def test_jobs_of_another_model_are_not_counted(place: Place) -> None:
    steps.queued(place)

    with place.database.service() as session:
        assert job_counts.startable(session, "another", 8) == 0


def test_free_slots_are_those_of_all_live_workers(place: Place) -> None:
    busy = steps.worker(place, slots=4)
    steps.worker(place, slots=8)
    steps.many_queued(place, 3)
    steps.claim(place, busy, 3)

    assert free_slots(place) == {MODEL: 1 + 8}


@pytest.mark.parametrize(
    "change",
    ["draining = true", "lease_until = clock_timestamp() - interval '1 second'"],
    ids=["draining", "lapsed"],
)
def test_a_worker_that_takes_no_jobs_has_no_free_slots(place: Place, change: str) -> None:
    steps.worker(place)
    with place.database.service() as session:
        session.execute(text(f"UPDATE workers SET {change}"))
        live = models.live_workers(session)

    assert (free_slots(place), live) == ({}, {})


def test_live_workers_are_counted_by_model(place: Place) -> None:
    steps.worker(place)
    steps.worker(place)

    with place.database.service() as session:
        assert models.live_workers(session) == {MODEL: 2}
