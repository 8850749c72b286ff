"""Removing batches with all they have, a bounded number of rows a step."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from quire.batches.ending import end
from quire.store import forgetting
from quire.store.base import now
from quire.store.batch import Batch, BatchState

ABANDONED = timedelta(hours=1)  # no upload takes so long
ITEMS = text("""
    DELETE FROM batch_items WHERE batch_id = :batch AND number IN (
        SELECT number FROM batch_items WHERE batch_id = :batch ORDER BY number LIMIT :limit)
    RETURNING number, error
""")
# now(), the start of the transaction, as for jobs.
PAST_RETENTION = text("""
    SELECT batches.id FROM batches JOIN tenants ON tenants.id = batches.tenant_id
    WHERE finished_at IS NOT NULL AND finished_at < now() - least(
        make_interval(hours => retention_hours),
        make_interval(days => coalesce(retention_days, CAST(:days AS int))))
    ORDER BY finished_at LIMIT 1 FOR NO KEY UPDATE OF batches SKIP LOCKED
""")


def forget(session: Session, days: int | None, limit: int) -> int:
    """Take a step at the oldest batch that is older than it, or its tenant, is kept; `days`: of other tenants."""
    batch_id = session.scalar(PAST_RETENTION, {"days": days})
    return remove_some(session, batch_id, limit) if batch_id else 0


def forget_received(session: Session, limit: int) -> int:
    """Take a step at a batch whose submitter was lost before it was released."""
    lost = select(Batch.id).where(Batch.state == BatchState.RECEIVING, Batch.created_at < now(session) - ABANDONED)
    batch_id = session.scalar(lost.limit(1).with_for_update(skip_locked=True))
    return remove_some(session, batch_id, limit) if batch_id else 0


def erase_some(session: Session, tenant_id: UUID, limit: int) -> int:
    """Take a step at a batch of a tenant that is being deleted, whatever its state; 0 if it has none."""
    some = select(Batch).where(Batch.tenant_id == tenant_id).order_by(Batch.id).limit(1)
    batch = session.scalar(some.with_for_update(key_share=True))
    if batch is None:
        return 0
    if batch.state is BatchState.RUNNING:
        end(session, batch, BatchState.CANCELLED)
    # Its jobs are removed, and counted, with all others of the tenant.
    gone = session.execute(ITEMS, {"batch": batch.id, "limit": limit}).all()
    if not gone:
        session.delete(batch)
        session.flush()
    return len(gone) or 1


def remove_some(session: Session, batch_id: UUID, limit: int) -> int:
    """Remove some items of a batch that is over, with their jobs and texts; at last the batch itself.

    Returns the rows it dealt with, at least 1.
    """
    batch = session.get_one(Batch, batch_id)
    gone = session.execute(ITEMS, {"batch": batch_id, "limit": limit}).all()
    forgetting.remove_uncounted(session, [batch.job(row.number) for row in gone if row.error is None])
    if gone:
        return len(gone)
    session.delete(batch)
    session.flush()
    return 1
