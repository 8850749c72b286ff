"""Opening a batch: its items come in pieces, each in a transaction of its own, and are released all together.

So no transaction is as long as an upload. Until its release nobody sees the batch, and one that was never released
is removed by a scheduler.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from psycopg.types.json import Jsonb
from sqlalchemy import text
from sqlalchemy.orm import Session

from quire.database import copying
from quire.errors import QuotaExceeded
from quire.ids import first_of_run, new_id
from quire.jobs import Submission
from quire.quotas import Allowance
from quire.store import job_counts
from quire.store.base import now
from quire.store.batch import Batch, BatchState

RETRY_SECONDS = 60
OPEN = text("""
    SELECT count(*) FROM batches WHERE tenant_id = :tenant AND state IN ('receiving', 'running')
""")
# COPY cannot enter a table with row-level security, so it goes through one without.
STAGE = text("""
    CREATE TEMPORARY TABLE sent_items (
        number integer, custom_id text, body bytea, model text, kind text, seed bigint, prompt_tokens integer,
        max_tokens integer, estimate integer, metadata jsonb, error jsonb, place integer) ON COMMIT DROP
""")
COPY = """
    COPY sent_items (number, custom_id, body, model, kind, seed, prompt_tokens, max_tokens, estimate, metadata,
        error, place) FROM STDIN
"""
ADD = text("""
    INSERT INTO batch_items (batch_id, number, tenant_id, custom_id, body, model, kind, seed, prompt_tokens,
        max_tokens, estimate, metadata, error, place)
    SELECT :batch, number, :tenant, custom_id, body, model, kind, seed, prompt_tokens, max_tokens, estimate,
        metadata, error, place
    FROM sent_items ORDER BY number
""")
DROP_STAGE = text("DROP TABLE sent_items")
DROP_ITEMS = text("DELETE FROM batch_items WHERE batch_id = :batch")


@dataclass(frozen=True)
class Draft:
    """What a batch is to be, beside its items."""

    tenant_id: UUID
    priority: int
    max_running: int | None = None
    max_tokens: int | None = None
    deadline: datetime | None = None
    retention_hours: int | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    parent_id: UUID | None = None
    schedule_id: UUID | None = None


@dataclass(frozen=True)
class Item:
    """One item: the job it will be, sealed for the id that `Batch.job` gives it; or why it can never be one."""

    number: int
    custom_id: str | None
    job: Submission | None
    error: dict[str, str] | None = None


def open_batch(session: Session, draft: Draft, *, most_open: int) -> Batch:
    """Begin a batch.

    Raises:
        QuotaExceeded: the tenant has as many batches open as it may.

    """
    job_counts.serialise_submissions(session, draft.tenant_id)
    running = int(session.scalar(OPEN, {"tenant": draft.tenant_id}) or 0)
    if running >= most_open:
        left = Allowance("batches", most_open, 0, RETRY_SECONDS)
        raise QuotaExceeded(f"The tenant has {running} batches that are not over; the limit is {most_open}.", left)
    batch = Batch(
        id=new_id(),
        tenant_id=draft.tenant_id,
        parent_id=draft.parent_id,
        schedule_id=draft.schedule_id,
        first_job=first_of_run(),
        priority=draft.priority,
        max_running=draft.max_running,
        max_tokens=draft.max_tokens,
        deadline=draft.deadline,
        retention_hours=draft.retention_hours,
        user_metadata=draft.metadata,
    )
    session.add(batch)
    session.flush()
    return batch


def add_items(session: Session, batch: Batch, items: Sequence[Item]) -> None:
    """Add items to a batch that is being received; `batch` counts them, and is written at its release.

    Those with an error have ended before they began: they get the next places in the results.
    """
    errors = [item for item in items if item.error is not None]
    places = {item.number: batch.placed + index for index, item in enumerate(errors)}
    session.execute(STAGE)
    with copying(session, COPY) as copy:
        for item in items:
            copy.write_row(_row(item, places.get(item.number)))
    session.execute(ADD, {"batch": batch.id, "tenant": batch.tenant_id})
    session.execute(DROP_STAGE)  # there may be more items in this transaction
    batch.total += len(items)
    batch.held += len(items) - len(errors)
    batch.failed += len(errors)
    batch.placed += len(errors)


def _row(item: Item, place: int | None) -> tuple[object, ...]:
    job = item.job
    made: tuple[object, ...] = (None,) * 7
    if job is not None:
        made = (job.body, job.model, job.kind.value, job.seed, job.prompt_tokens, job.max_tokens, job.estimate)
    metadata = Jsonb(job.metadata if job else {})
    return item.number, item.custom_id, *made, metadata, item.error and Jsonb(item.error), place


def release(session: Session, batch: Batch) -> Batch:
    """Let a batch run, with the items that were added; returns it as it is stored."""
    row = session.get_one(Batch, batch.id, with_for_update={"key_share": True})
    row.total, row.held, row.failed, row.placed = batch.total, batch.held, batch.failed, batch.placed
    row.state = BatchState.RUNNING
    row.created_at = row.feed_at = now(session)
    session.flush()
    return row


def discard(session: Session, batch_id: UUID) -> None:
    """Remove a batch that was not released; one that was, though nobody heard of it, stays."""
    batch = session.get(Batch, batch_id, with_for_update=True, populate_existing=True)
    if batch is None or batch.state is not BatchState.RECEIVING:
        return
    session.execute(DROP_ITEMS, {"batch": batch_id})
    session.delete(batch)
