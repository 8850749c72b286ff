"""Deleting a tenant: its key is destroyed at once, its rows go in steps, its ledger and a receipt stay."""

import pytest
from sqlalchemy import select, text

from quire import jobs, tenants, testing
from quire.artifacts import Made
from quire.crypto import KeyRing, WrappedKey
from quire.errors import Conflict, NotFound, UndecryptableError
from quire.ids import new_id
from quire.jobs import Once
from quire.quotas import Quotas
from quire.store import (
    ApiKey,
    Artifact,
    ArtifactPart,
    Chunk,
    Endpoint,
    Event,
    IdempotencyKey,
    Job,
    Lane,
    LedgerEntry,
    Occurrence,
    Receipt,
    Schedule,
    Tenant,
    forgetting,
)
from quire.store.job import State
from quire.testing import RING, Place
from quire.textlog import read
from scheduler import compaction, housekeeping
from tests.integration import steps

ROWS = (Job, Artifact, ArtifactPart, Chunk, IdempotencyKey, Lane, ApiKey, Endpoint, Event, Schedule, Occurrence)


def furnish(place: Place, owner: Tenant) -> None:
    """A tenant with a finished job, a running one, a queued one, and a key."""
    with place.database.service() as session:
        key = ApiKey(id=new_id(), tenant_id=owner.id, prefix=owner.name, secret_hash=b"", scopes=["jobs:read"])
        session.add(key)
    for number in range(3):
        with place.database.tenant(owner.id) as session:
            once = Once(f"key {number}", b"print")
            jobs.submit(session, testing.submission(owner), once=once, quotas=Quotas(10, None))
    steps.webhook(place, owner)
    steps.schedule(place, owner)
    done, running = steps.claim(place, steps.worker(place), k=2)
    steps.keep(place, done, Made(0, "abc", b"X:1"), Made(0, "wav", b"RIFF"))
    steps.succeed(place, done, "Once")
    steps.commit(place, steps.report(running, "upon"))


def delete(place: Place, owner: Tenant, ring: KeyRing = RING) -> Receipt:
    with place.database.service() as session:
        tenants.suspend(session, owner.id)
    with place.database.service() as session:
        return tenants.delete(session, owner.id, ring, "request-1")


def erase(place: Place) -> int:
    """One step of the sweep."""
    with place.database.service() as session:
        return tenants.erase(session)


def erase_all(place: Place) -> None:
    while erase(place):
        pass


def owners(place: Place) -> dict[str, set]:
    with place.database.service() as session:
        return {table.__tablename__: set(session.scalars(select(table.tenant_id))) for table in ROWS}


def receipt(place: Place, owner: Tenant) -> Receipt:
    with place.database.service() as session:
        return tenants.receipt_of(session, owner.id)


def test_a_tenant_that_is_not_suspended_is_not_deleted(place: Place) -> None:
    with pytest.raises(Conflict, match="suspend"), place.database.service() as session:
        tenants.delete(session, place.tenant.id, RING, "request")


def test_its_texts_cannot_be_opened_from_then_on(place: Place) -> None:
    furnish(place, place.tenant)

    delete(place, place.tenant)

    with place.database.service() as session:
        row = session.get_one(Tenant, place.tenant.id)
        chunk = session.scalars(select(Chunk)).first()
    with pytest.raises(UndecryptableError):
        RING.unwrap(row.wrapped_key, row.id)
    with pytest.raises(UndecryptableError):  # nor is what lies there the key itself
        RING.unwrap(WrappedKey(RING.active, row.data_key), row.id)
    assert [entry.text for entry in read([chunk], testing.data_key(place.tenant))] in (["Once"], ["upon"])


def test_its_keys_are_revoked(place: Place) -> None:
    furnish(place, place.tenant)

    assert delete(place, place.tenant).keys == 1

    with place.database.service() as session:
        assert session.scalars(select(ApiKey.revoked_at)).one() is not None


def test_the_sweep_leaves_the_ledger_and_the_receipt(place: Place) -> None:
    furnish(place, place.tenant)
    delete(place, place.tenant)

    erase_all(place)

    assert owners(place) == {table.__tablename__: set() for table in ROWS}
    with place.database.service() as session:
        assert session.get(Tenant, place.tenant.id) is None
        bills = session.scalars(select(LedgerEntry)).all()
    assert len(bills) == 3
    assert all(bill.settled_at for bill in bills)
    kept = receipt(place, place.tenant)
    assert (kept.name, kept.request_id) == (place.tenant.name, "request-1")
    assert (kept.keys, kept.jobs, kept.chunks, kept.artifacts) == (1, 3, 2, 2)
    assert kept.completed_at is not None
    assert kept.completed_at >= kept.created_at


def test_the_receipt_tells_the_destroyed_key_by_its_fingerprint(place: Place) -> None:
    expected = testing.data_key(place.tenant).fingerprint(tenants.FINGERPRINT).hex()

    assert delete(place, place.tenant).key_fingerprint == expected


def test_a_key_that_cannot_be_opened_is_destroyed_all_the_same(place: Place) -> None:
    other = KeyRing({"test": bytes(32)})

    kept = delete(place, place.tenant, other)

    assert kept.key_fingerprint is None
    with place.database.service() as session:
        assert session.get_one(Tenant, place.tenant.id).master_key == tenants.DESTROYED


def test_jobs_that_live_are_cancelled_first(place: Place) -> None:
    furnish(place, place.tenant)
    delete(place, place.tenant)

    assert erase(place) == 2

    with place.database.service() as session:
        states = sorted(session.scalars(select(Job.state)))
    assert states == [State.CANCELLED, State.CANCELLED, State.SUCCEEDED]
    assert steps.lane(place).running == 0


def test_another_tenant_loses_nothing(place: Place) -> None:
    neighbour = steps.tenant(place)
    furnish(place, place.tenant)
    with place.database.service() as session:
        session.execute(text("UPDATE jobs SET state = 'succeeded', worker_id = NULL, finished_at = now()"))
    furnish(place, neighbour)
    before = owners(place)

    delete(place, place.tenant)
    erase_all(place)

    assert owners(place) == {table: {neighbour.id} for table in before}


def test_a_step_is_bounded(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenants, "BATCH", 2)
    furnish(place, place.tenant)
    delete(place, place.tenant)

    assert [erase(place) for _ in range(10)] == [2, 2, 1, 2, 1, 1, 1, 1, 1, 0]


def test_deleting_again_returns_the_same_receipt(place: Place) -> None:
    first = delete(place, place.tenant)
    erase_all(place)

    with place.database.service() as session:
        again = tenants.delete(session, place.tenant.id, RING, "request-2")

    assert (again.request_id, again.created_at) == (first.request_id, first.created_at)


def test_what_never_was_is_not_found(place: Place) -> None:
    with pytest.raises(NotFound), place.database.service() as session:
        tenants.delete(session, new_id(), RING, "request")


def test_a_submission_that_was_under_way_is_removed_too(place: Place) -> None:
    delete(place, place.tenant)
    late = steps.queued(place)

    erase_all(place)

    with place.database.service() as session:
        assert session.get(Job, late.id) is None
    assert receipt(place, place.tenant).jobs == 1


def test_the_name_is_free_again(place: Place) -> None:
    delete(place, place.tenant)
    erase_all(place)

    with place.database.service() as session:
        assert testing.add_tenant(session, name=place.tenant.name).id != place.tenant.id


def test_neither_rotation_nor_compaction_stumbles_over_a_destroyed_key(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    furnish(place, place.tenant)
    delete(place, place.tenant)

    assert housekeeping.rewrap_data_keys(place.database, RING) == 0
    assert compaction.compact(place.database, RING) == 0
    assert caplog.records == []


def test_nothing_of_a_deleted_tenant_is_claimed(place: Place) -> None:
    steps.queued(place)
    delete(place, place.tenant)

    assert steps.claim(place, steps.worker(place), k=4) == []


def test_what_there_may_be_much_of_goes_in_steps(place: Place) -> None:
    furnish(place, place.tenant)

    removed = []
    while True:
        with place.database.service() as session:
            removed.append(forgetting.erase_some(session, place.tenant.id, 1))
        if not removed[-1]:
            break

    assert removed == [1] * (3 + 1 + 1 + 1) + [0]  # keys, an event, an occurrence, a version
