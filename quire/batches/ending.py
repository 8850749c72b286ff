"""How a batch ends: by itself, by its submitter, by its deadline, or for want of tokens."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from quire import ids, jobs
from quire.batches.reading import find
from quire.store.base import now
from quire.store.batch import Batch, BatchState
from quire.store.job import State
from quire.webhooks.events import News, tell

# What becomes of the items that were not fed, and of the jobs that live.
ENDS = {
    BatchState.CANCELLED: State.CANCELLED,
    BatchState.EXPIRED: State.EXPIRED,
    BatchState.EXHAUSTED: State.CANCELLED,
}


def end(session: Session, batch: Batch, state: BatchState) -> None:
    """End a batch that is locked and runs, at once and for good. Held items stay what they are: rows."""
    if state in ENDS:
        jobs.end_live(session, batch, ENDS[state])
        jobs.collect(session, batch, batch.live)
        if ENDS[state] is State.EXPIRED:
            batch.expired += batch.held
        else:
            batch.cancelled += batch.held
        batch.held = 0
    batch.state = state
    batch.blocked_by = batch.feed_at = None
    batch.finished_at = now(session)
    session.flush()
    tell(session, [News(batch.tenant_id, f"batch.{state}", ids.show(ids.BATCH, batch.id))])


def cancel(session: Session, tenant_id: UUID, batch_id: UUID) -> Batch:
    """End a batch now; what is written stays. One that is over is returned as it is.

    Raises:
        NotFound: the tenant has no such batch.

    """
    batch = find(session, tenant_id, batch_id, lock=True)
    if not batch.state.is_over:
        end(session, batch, BatchState.CANCELLED)
    return batch


def is_overdue(batch: Batch, moment: datetime) -> bool:
    """Whether its deadline has passed with something left of it, or something that has expired as a job."""
    late = batch.deadline is not None and batch.deadline <= moment
    return late and bool(batch.held or batch.live or batch.expired)


def expire_overdue(session: Session) -> int:
    """End a batch whose deadline has passed, if there is one; what is there is delivered.

    One in a transaction: jobs and lanes are locked in the order of one batch at a time.
    """
    moment = now(session)
    running = (Batch.state == BatchState.RUNNING, Batch.deadline <= moment)
    overdue = select(Batch).where(*running).order_by(Batch.deadline).limit(1)
    batch = session.scalar(overdue.with_for_update(key_share=True, skip_locked=True))
    if batch is None:
        return 0
    jobs.collect(session, batch, batch.live)
    end(session, batch, BatchState.EXPIRED if is_overdue(batch, moment) else BatchState.COMPLETED)
    return 1
