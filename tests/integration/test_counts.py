"""What is counted for the scheduler: runnable jobs and free slots."""

import pytest
from sqlalchemy import text

from quire.store import job_counts
from quire.store import model as models
from quire.testing import MODEL, Place
from tests.integration import steps


def free_slots(place: Place) -> dict[str, int]:
    with place.database.service() as session:
        return job_counts.free_slots_by_model(session)


def test_runnable_jobs_are_counted_by_model(place: Place) -> None:
    steps.many_queued(place, 3)
    steps.claim(place, steps.worker(place))

    with place.database.service() as session:
        assert job_counts.runnable_by_model(session) == {MODEL: 2}


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
