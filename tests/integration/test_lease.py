"""The worker's lease: a row that says it is alive."""

from collections.abc import Iterator
from uuid import UUID

import pytest
from sqlalchemy import select, text

from quire.store import Worker
from quire.store import lane as lanes
from quire.store import worker as workers
from quire.testing import MODEL, Place
from tests.integration import steps
from tests.waiting import until
from worker.lease import Lease


@pytest.fixture
def lease(place: Place) -> Iterator[Lease]:
    """A lease that beats only when it is told to."""
    lease = Lease(place.database, model=MODEL, slots=4, numerics="fake", seconds=10, heartbeat=3600)
    lease.start()
    yield lease
    lease._stop.set()


def row(place: Place, worker_id: UUID) -> Worker | None:
    with place.database.service() as session:
        return session.scalar(select(Worker).where(Worker.id == worker_id))


def test_a_worker_with_a_lease_can_claim(place: Place, lease: Lease) -> None:
    queued = steps.queued(place)

    assert [claimed.id for claimed in steps.claim(place, lease.id)] == [queued.id]


def test_a_heartbeat_extends_the_lease(place: Place, lease: Lease) -> None:
    before = row(place, lease.id).lease_until

    lease.renew()

    assert row(place, lease.id).lease_until > before


def test_a_lease_that_ran_out_but_still_stands_is_extended(place: Place, lease: Lease) -> None:
    before = lease.id
    with place.database.service() as session:
        session.execute(text("UPDATE workers SET lease_until = clock_timestamp() - interval '1 minute'"))

    lease.renew()

    assert lease.id == before
    assert steps.claim(place, lease.id) == []
    with place.database.service() as session:
        assert lanes.hold_lease(session, lease.id)


def test_a_worker_whose_lease_was_taken_goes_on_under_a_new_id(place: Place, lease: Lease) -> None:
    before = lease.id
    steps.die(place, before)

    lease.renew()

    assert lease.id != before
    assert row(place, before) is None
    assert row(place, lease.id).slots == 4


def test_a_draining_worker_says_so_with_its_next_heartbeat(place: Place, lease: Lease) -> None:
    lease.drain()
    lease.renew()

    assert row(place, lease.id).draining


def test_a_worker_that_leaves_takes_its_lease_along(place: Place, lease: Lease) -> None:
    lease.leave()

    assert row(place, lease.id) is None


def test_a_heartbeat_does_not_wait_for_a_claim(place: Place, lease: Lease) -> None:
    with place.database.service() as session:
        assert lanes.hold_lease(session, lease.id)  # as a claim does, until it commits
        with place.database.service() as other:
            other.execute(text("SET LOCAL lock_timeout = '1ms'"))

            renewed = other.execute(workers.RENEW, {"id": lease.id, "lease": 10, "draining": False}).first()

    assert renewed is not None


def test_a_lease_cannot_be_taken_under_a_claim(place: Place, lease: Lease) -> None:
    # Or its jobs would be put back before they are seen to run.
    with place.database.service() as session, place.database.service() as other:
        lanes.hold_lease(session, lease.id)
        other.execute(text("SET LOCAL lock_timeout = '1ms'"))

        with pytest.raises(Exception, match="lock timeout"):
            other.execute(workers.LEAVE, {"id": lease.id})


def test_the_lease_beats_by_itself(place: Place) -> None:
    lease = Lease(place.database, model=MODEL, slots=4, numerics=None, seconds=10, heartbeat=0.01)
    lease.start()
    before = row(place, lease.id).lease_until

    until(lambda: row(place, lease.id).lease_until > before)

    lease.leave()


def test_a_heartbeat_that_fails_is_tried_again(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lease = Lease(place.database, model=MODEL, slots=4, numerics=None, seconds=10, heartbeat=0.01)
    lease.start()
    with monkeypatch.context() as broken:
        broken.setattr(workers, "RENEW", text("SELECT 1 / 0"))
        until(lambda: "heartbeat failed" in caplog.messages)
    before = row(place, lease.id).lease_until

    until(lambda: row(place, lease.id).lease_until > before)

    lease.leave()


def test_the_supervisor_ends_the_lease_of_a_process(place: Place, lease: Lease) -> None:
    held = row(place, lease.id)

    with place.database.engine.begin() as connection:
        workers.expire(connection, host=held.host, pid=held.pid)

    assert row(place, lease.id) is None
