"""What a worker or a tenant does to a job, one transaction each: the sentences that tests are made of."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select, text

from quire import batches, jobs, testing
from quire.artifacts import Made, sealed
from quire.batches import Draft, Item
from quire.ids import new_id
from quire.jobs import Claimed, Outcome, Report
from quire.pieces import Entry
from quire.store import (
    Attempt,
    Delivery,
    Endpoint,
    Event,
    File,
    FilePart,
    Job,
    Lane,
    Model,
    Occurrence,
    OpenAIBatch,
    Schedule,
    ScheduleVersion,
    Tenant,
    chunk,
)
from quire.store import lane as lanes
from quire.store import ledger as ledgers
from quire.store.base import now
from quire.store.chunk import START, Position
from quire.store.job import State
from quire.store.lane import LaneKey
from quire.store.schedule import OccurrenceState
from quire.testing import MODEL, RING, Place
from quire.textlog import chunk_row, read


def tenant(place: Place, **columns: Any) -> Tenant:
    """One more tenant."""
    with place.database.service() as session:
        return testing.add_tenant(session, **columns)


def queued(place: Place, owner: Tenant | None = None, **columns: Any) -> Job:
    """One more job."""
    owner = owner or place.tenant
    with place.database.tenant(owner.id) as session:
        return testing.add_job(session, owner, **columns)


def many_queued(place: Place, count: int, owner: Tenant | None = None, **columns: Any) -> list[UUID]:
    """Several jobs in one transaction; their ids in the order of submission."""
    owner = owner or place.tenant
    with place.database.tenant(owner.id) as session:
        return [testing.add_job(session, owner, **columns).id for _ in range(count)]


def batch(place: Place, count: int, owner: Tenant | None = None, **draft: Any) -> UUID:
    """One more batch, of so many items."""
    tenant = owner or place.tenant
    asked = Draft(**{"tenant_id": tenant.id, "priority": 0} | draft)
    with place.database.tenant(tenant.id) as session:
        new = batches.open_batch(session, asked, most_open=100)
        items = [
            Item(n, f"c{n}", testing.submission(tenant, f"Item {n % 10}", id=new.job(n))) for n in range(count)
        ]
        batches.add_items(session, new, items)
        return batches.release(session, new).id


def webhook(place: Place, owner: Tenant) -> None:
    """An endpoint with a delivery that was tried once."""
    told, sent = new_id(), new_id()
    with place.database.service() as session:
        endpoint = Endpoint(
            id=new_id(), tenant_id=owner.id, url="https://a.example/", events=["webhook.test"], secret=b""
        )
        event = Event(id=told, tenant_id=owner.id, type="job.succeeded", data={})
        session.add_all([endpoint, event])
        session.flush()
        session.add(Delivery(id=sent, event_id=told, endpoint_id=endpoint.id, tenant_id=owner.id))
        session.flush()
        session.add(Attempt(delivery_id=sent, number=1, tenant_id=owner.id, seconds=0.1))


def file(place: Place, owner: Tenant) -> None:
    """A file of one part, and a batch that was made of it."""
    made = new_id()
    with place.database.tenant(owner.id) as session:
        session.add(File(id=made, tenant_id=owner.id, complete=True, filename="f", purpose="batch"))
        session.flush()
        session.add(FilePart(file_id=made, part=0, tenant_id=owner.id, body=b""))
    note = OpenAIBatch(batch_id=batch(place, 1, owner), tenant_id=owner.id, endpoint="", input_file_id=made)
    with place.database.tenant(owner.id) as session:
        session.add(note)


def schedule(place: Place, owner: Tenant) -> None:
    """A schedule that is over, with its history and an occurrence."""
    made = new_id()
    with place.database.service() as session:
        moment = now(session)
        row = Schedule(
            id=made, tenant_id=owner.id, name="s", body=b"", kind="at", expression="", zone="UTC",
            starts_at=moment, catch_up="once", catch_up_most=1, overlap="queue", jitter_seconds=0,
            publish_by=False,
        )  # fmt: skip
        session.add(row)
        session.flush()
        session.add(ScheduleVersion(schedule_id=made, version=1, tenant_id=owner.id, body=b""))
        session.add(
            Occurrence(
                schedule_id=made,
                moment=moment,
                tenant_id=owner.id,
                version=1,
                number=1,
                state=OccurrenceState.SKIPPED,
            )
        )


def worker(place: Place, **columns: Any) -> UUID:
    with place.database.service() as session:
        return testing.add_worker(session, **columns)


def claim(place: Place, worker_id: UUID, k: int = 1, **overrides: Any) -> list[Claimed]:
    asked: dict[str, Any] = {"model": MODEL, "worker_id": worker_id, "numerics": "fake", "k": k}
    with place.database.service() as session:
        return jobs.claim(session, **asked | overrides)


def running(place: Place, **columns: Any) -> Claimed:
    """One job on a worker of its own."""
    queued(place, **columns)
    (claimed,) = claim(place, worker(place))
    return claimed


def end_of(claimed: Claimed) -> Position:
    return Position(1, claimed.log[-1].offset + claimed.log[-1].tokens) if claimed.log else START


def rows(claimed: Claimed, text: str, at: Position | None = None) -> list[dict[str, object]]:
    """What a worker logs of a job for a text of one token for each byte."""
    key = RING.unwrap(claimed.wrapped_key, claimed.tenant_id)
    entry = Entry(0, tuple(text.encode()), text)
    return [chunk_row(claimed.id, claimed.tenant_id, key, at or end_of(claimed), [entry])]


def report(claimed: Claimed, text: str = "", outcome: Outcome | None = None, at: Position | None = None) -> Report:
    return Report(claimed.id, claimed.fence, rows(claimed, text, at) if text else (), outcome)


def commit(place: Place, *reports: Report) -> set[UUID]:
    """Write reports; returns the jobs that were lost."""
    with place.database.service() as session:
        return {run.job_id for run in jobs.commit(session, reports)}


def succeed(place: Place, claimed: Claimed, text: str = "", *, work: int = 10) -> set[UUID]:
    outcome = Outcome(State.SUCCEEDED, work, completion_tokens=len(text.encode()))
    return commit(place, report(claimed, text, outcome))


def keep(place: Place, claimed: Claimed, *made: Made) -> bool:
    """Keep files of a running job; False if it was lost."""
    key = RING.unwrap(claimed.wrapped_key, claimed.tenant_id)
    files = [sealed(each, job_id=claimed.id, tenant_id=claimed.tenant_id, key=key) for each in made]
    with place.database.service() as session:
        return jobs.keep_artifacts(session, claimed.run, files)


def cancel(place: Place, job_id: UUID, owner: Tenant | None = None) -> Job:
    owner = owner or place.tenant
    with place.database.tenant(owner.id) as session:
        return jobs.cancel(session, owner.id, job_id)


def die(place: Place, worker_id: UUID) -> None:
    """End a worker's lease, as the supervisor does when it sees the process gone."""
    with place.database.service() as session:
        session.execute(testing.worker.LEAVE, {"id": worker_id})


def requeue(place: Place, max_attempts: int = 3) -> int:
    with place.database.service() as session:
        return jobs.requeue_orphans(session, max_attempts)


# ---- looking -----------------------------------------------------------------------------------------------


def job(place: Place, job_id: UUID) -> Job:
    with place.database.service() as session:
        return session.scalars(select(Job).where(Job.id == job_id)).one()


def lane(place: Place, owner: Tenant | None = None) -> Lane:
    owner = owner or place.tenant
    with place.database.service() as session:
        return session.scalars(select(Lane).where(Lane.tenant_id == owner.id, Lane.model == MODEL)).one()


def virtual_now(place: Place) -> float:
    with place.database.service() as session:
        return session.scalars(select(Model.virtual_now).where(Model.name == MODEL)).one()


def bill(place: Place, job_id: UUID) -> ledgers.LedgerEntry:
    with place.database.service() as session:
        return session.scalars(select(ledgers.LedgerEntry).where(ledgers.LedgerEntry.job_id == job_id)).one()


def text_of(place: Place, owner: Tenant, job_id: UUID) -> str:
    """A job's stored text."""
    with place.database.service() as session:
        log = chunk.of_jobs(session, [job_id])[job_id]
    return "".join(entry.text for entry in read(log, testing.data_key(owner)))


def lanes_of(claimed: Sequence[Claimed]) -> list[UUID]:
    return [one.tenant_id for one in claimed]


def analyse(place: Place, table: str) -> None:
    """Have Postgres count a table, as it does by itself after a while: its plans rest on that."""
    with place.database.engine.begin() as connection:
        connection.execute(text(f"ANALYZE {table}"))


# ---- many --------------------------------------------------------------------------------------------------

BULK = text("""
    WITH new AS (
        INSERT INTO jobs (id, tenant_id, model, kind, seed, body, prompt_tokens, max_tokens, estimate)
        SELECT id, :tenant, :model, 'text', 7, '', 4, 16, 20 FROM unnest(CAST(:ids AS uuid[])) AS id RETURNING id)
    INSERT INTO ledger (job_id, tenant_id, model, reserved) SELECT id, :tenant, :model, 20 FROM new
""")


def in_bulk(place: Place, count: int, owner: Tenant | None = None) -> list[UUID]:
    """Queue so many jobs that cannot be opened, at once."""
    owner = owner or place.tenant
    ids = [new_id() for _ in range(count)]
    key = LaneKey(MODEL, owner.id)
    with place.database.service() as session:
        lanes.open_lane(session, key)
        session.execute(BULK, {"ids": ids, "tenant": owner.id, "model": MODEL})
        lanes.wake(session, [key])
    return ids
