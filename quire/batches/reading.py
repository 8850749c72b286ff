"""Reading a batch: which of its items have ended, in the order of its results.

First come the items that were jobs, by the places they were given as they ended; then, once the batch is over,
those that were never fed, in their own order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from quire.errors import NotFound
from quire.store.batch import Batch, BatchItem, BatchState


@dataclass(frozen=True)
class Cursor:
    """Where reading goes on: behind so many places, or, of what was never fed, from this number on."""

    places: int = 0
    number: int | None = None


@dataclass(frozen=True)
class Place:
    """One item in the results, and where to go on behind it."""

    item: BatchItem
    job: UUID | None  # None: it never was one
    after: Cursor


def find(session: Session, tenant_id: UUID, batch_id: UUID, *, lock: bool = False) -> Batch:
    """Return a batch of a tenant, locked if asked.

    Raises:
        NotFound: the tenant has no such batch.

    """
    wanted = select(Batch).where(
        Batch.id == batch_id, Batch.tenant_id == tenant_id, Batch.state != BatchState.RECEIVING
    )
    batch = session.scalar(wanted.with_for_update(key_share=True) if lock else wanted)
    if batch is None:
        raise NotFound
    return batch


def places(session: Session, batch: Batch, after: Cursor, limit: int) -> Sequence[Place]:
    """Return the next items that have ended; none if there are no more by now."""
    items = BatchItem.batch_id == batch.id
    if after.number is None and after.places < batch.placed:
        ended = select(BatchItem).where(items, BatchItem.place >= after.places).order_by(BatchItem.place)
        return [_placed(batch, item) for item in session.scalars(ended.limit(limit))]
    if not batch.state.is_over:
        return []
    first = batch.next_number if after.number is None else after.number
    rest = select(BatchItem).where(items, BatchItem.number >= first, BatchItem.place.is_(None))
    return [
        Place(item, None, Cursor(batch.placed, item.number + 1))
        for item in session.scalars(rest.order_by(BatchItem.number).limit(limit))
    ]


def _placed(batch: Batch, item: BatchItem) -> Place:
    job = batch.job(item.number) if item.error is None else None
    return Place(item, job, Cursor((item.place or 0) + 1))
