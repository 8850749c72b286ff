"""Folds the text log of a finished job into one row."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from quire.crypto import KeyRing
from quire.database import Database
from quire.pieces import as_entries, fold
from quire.store import Job, Tenant
from quire.store import chunk as chunks
from quire.store.chunk import Position
from quire.textlog import chunk_row, read

BATCH = 50


def compact(database: Database, ring: KeyRing) -> int:
    """Compact some jobs; returns how many. The folded text is the stored text, before and after."""
    with database.service() as session:
        statement = (
            select(Job, Tenant)
            .join(Tenant, Tenant.id == Job.tenant_id)
            .where(Job.finished_at.is_not(None), Job.compact.is_(False))
            .order_by(Job.id)
            .limit(BATCH)
            .with_for_update(of=Job, key_share=True, skip_locked=True)
        )
        rows = session.execute(statement).all()
        for job, tenant in rows:
            _compact(session, job, tenant, ring)
            job.compact = True
        return len(rows)


def _compact(session: Session, job: Job, tenant: Tenant, ring: KeyRing) -> None:
    log = chunks.of_jobs(session, [job.id])[job.id]
    if len(log) < 2:
        return
    key = ring.unwrap(tenant.wrapped_key, tenant.id)
    entries = as_entries(fold(read(log, key)))
    start = Position(log[-1].revision, 0)
    chunks.delete(session, job.id)
    chunks.append(session, [chunk_row(job.id, job.tenant_id, key, start, entries)])
