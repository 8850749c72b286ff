"""Opening a batch: its items come in pieces, each in a transaction of its own, and are released all together.

So no transaction is as long as an upload. Until its release nobody sees the batch, and one that was never released
is removed by a scheduler.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from quire.errors import QuotaExceeded
from quire.ids import new_id, new_run
from quire.jobs import Submission
from quire.quotas import Allowance
from quire.store import job_counts
from quire.store.base import now
from quire.store.batch import Batch, BatchState

RETRY_SECONDS = 60
OPEN = text("""
    SELECT count(*) FROM batches WHERE tenant_id = :tenant AND state IN ('receiving', 'running')
""")
ADD = text("""
    INSERT INTO batch_items (batch_id, number, tenant_id, custom_id, body, model, kind, seed, prompt_tokens,
        max_tokens, estimate, metadata, error, place)
    SELECT :batch, number, :tenant, custom_id, body, model, kind, seed, prompt_tokens, max_tokens, estimate,
        CAST(metadata AS jsonb), CAST(error AS jsonb), place
    FROM unnest(CAST(:number AS int[]), CAST(:custom_id AS text[]), CAST(:body AS bytea[]), CAST(:model AS text[]),
        CAST(:kind AS text[]), CAST(:seed AS bigint[]), CAST(:prompt_tokens AS int[]), CAST(:max_tokens AS int[]),
        CAST(:estimate AS int[]), CAST(:metadata AS text[]), CAST(:error AS text[]), CAST(:place AS int[]))
        AS item (number, custom_id, body, model, kind, seed, prompt_tokens, max_tokens, estimate, metadata, error,
            place)
""")
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


def open_batch(session: Session, draft: Draft, *, most_items: int, most_open: int) -> Batch:
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
        first_job=new_run(most_items)[0],
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
    jobs = [item.job for item in items]
    errors = [item for item in items if item.error is not None]
    places = {item.number: batch.placed + index for index, item in enumerate(errors)}
    session.execute(ADD, {
        "batch": batch.id,
        "tenant": batch.tenant_id,
        "number": [item.number for item in items],
        "custom_id": [item.custom_id for item in items],
        "body": [job and job.body for job in jobs],
        "model": [job and job.model for job in jobs],
        "kind": [job and job.kind.value for job in jobs],
        "seed": [job and job.seed for job in jobs],
        "prompt_tokens": [job and job.prompt_tokens for job in jobs],
        "max_tokens": [job and job.max_tokens for job in jobs],
        "estimate": [job and job.estimate for job in jobs],
        "metadata": [json.dumps(job.metadata if job else {}) for job in jobs],
        "error": [item.error and json.dumps(item.error) for item in items],
        "place": [places.get(item.number) for item in items],
    })  # fmt: skip
    batch.total += len(items)
    batch.held += len(items) - len(errors)
    batch.failed += len(errors)
    batch.placed += len(errors)


def release(session: Session, batch: Batch) -> Batch:
    """Let a batch run, with the items that were added; returns it as it is stored."""
    row = session.get_one(Batch, batch.id, with_for_update={"key_share": True})
    row.total, row.held, row.failed, row.placed = batch.total, batch.held, batch.failed, batch.placed
    row.state = BatchState.RUNNING
    row.created_at = row.feed_at = now(session)
    session.flush()
    return row


def discard(session: Session, batch_id: UUID) -> None:
    """Remove a batch that was not released."""
    session.execute(DROP_ITEMS, {"batch": batch_id})
    session.delete(session.get_one(Batch, batch_id))
