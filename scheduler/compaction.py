"""Joins the text log of a finished job into one row."""

import logging

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from quire.crypto import KeyRing
from quire.database import Database
from quire.errors import UndecryptableError
from quire.store import Job, Tenant
from quire.store import chunk as chunks
from quire.textlog import joined_row, passages

log = logging.getLogger(__name__)

BATCH = 50


def compact(database: Database, ring: KeyRing) -> int:
    """Compact some jobs; returns how many. The folded text is the stored text, before and after."""
    with database.service() as session:
        statement = (
            select(Job, Tenant)
            .join(Tenant, Tenant.id == Job.tenant_id)
            .where(text("finished_at IS NOT NULL AND NOT compact"), Tenant.deleted_at.is_(None))
            .order_by(Job.finished_at)
            .limit(BATCH)
            .with_for_update(of=Job, key_share=True, skip_locked=True)
        )
        rows = session.execute(statement).all()
        for job, tenant in rows:
            try:
                _compact(session, job, tenant, ring)
            except UndecryptableError as error:  # left as it is, or it would be in the way of the others for ever
                log.error(str(error), extra={"action": "compaction_refused", "job": str(job.id)})  # noqa: TRY400
            job.compact = True
        return len(rows)


def _compact(session: Session, job: Job, tenant: Tenant, ring: KeyRing) -> None:
    log = chunks.of_jobs(session, [job.id])[job.id]
    if len(log) < 2:
        return
    key = ring.unwrap(tenant.wrapped_key, tenant.id)
    row = joined_row(job.id, job.tenant_id, key, passages(log, key))
    chunks.delete(session, job.id)
    chunks.append(session, [row])
