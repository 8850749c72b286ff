"""Feeding: a scheduler's step at one batch: collect what has ended, feed what there is room for, end it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate
from uuid import UUID

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from quire import jobs
from quire.batches.ending import end, is_overdue
from quire.errors import DailyTokensExceeded
from quire.jobs import Backlogs, NextItem
from quire.store import Tenant
from quire.store.base import now
from quire.store.batch import Batch, BatchState

AGAIN = timedelta(seconds=1)  # until a tenant that is out of room is looked at again
TOMORROW = timedelta(seconds=30)  # until one that is out of tokens is: some may come back before midnight
QUOTA, PAUSED = "quota", "paused"


def is_hungry(session: Session, limit: int) -> list[UUID]:
    """Return batches of which items may be fed now, without those that are known to wait for a paused tenant."""
    moment = now(session)
    still = or_(Tenant.paused, Tenant.suspended_at.is_not(None)) & (Batch.blocked_by == PAUSED)
    hungry = (
        select(Batch.id)
        .join(Tenant, Tenant.id == Batch.tenant_id)
        .where(Batch.state == "running", Batch.held > 0, Batch.feed_at <= moment, still.is_not(True))
    )
    return list(session.scalars(hungry.order_by(Batch.feed_at).limit(limit)))


@dataclass(frozen=True)
class _Helping:
    """What may be fed now; if that is nothing, why, and when to look again (None: when something ends)."""

    items: Sequence[NextItem] = ()
    blocked_by: str | None = None
    again: timedelta | None = None
    exhausted: bool = False  # of the batch's budget nothing is left that an item could do with


class Feeder:
    """Takes steps at batches, each in the caller's transaction. `window`: jobs of one batch at once, at most."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._backlogs = Backlogs()

    def step(self, session: Session, batch_id: UUID) -> int:
        """Take a step; returns how many items it moved. A batch that somebody else has locked is left to them."""
        statement = select(Batch).where(Batch.id == batch_id, Batch.state == BatchState.RUNNING)
        batch = session.scalar(statement.with_for_update(key_share=True, skip_locked=True))
        if batch is None:
            return 0
        moved = jobs.collect(session, batch, 2 * self._window)
        moment = now(session)
        if is_overdue(batch, moment):
            end(session, batch, BatchState.EXPIRED)
            return moved
        if batch.held:
            moved += self._feed(session, batch, moment)
        if batch.state is BatchState.RUNNING and batch.held == 0 and batch.live == 0:
            end(session, batch, BatchState.COMPLETED)
        session.flush()
        return moved

    def _feed(self, session: Session, batch: Batch, moment: datetime) -> int:
        helping = self._helping(session, batch)
        fed = self._queue(session, batch, helping) if helping.items else helping
        if fed.exhausted and batch.live == 0:
            end(session, batch, BatchState.EXHAUSTED)
            return 0
        batch.blocked_by = fed.blocked_by
        # A full window opens when something ends, and that is when this is called.
        batch.feed_at = moment + fed.again if fed.again is not None else None
        return len(fed.items)

    def _helping(self, session: Session, batch: Batch) -> _Helping:
        tenant = session.get_one(Tenant, batch.tenant_id)
        if tenant.paused or tenant.suspended_at:
            return _Helping(blocked_by=PAUSED, again=AGAIN)
        room = min(batch.max_running or self._window, self._window) - batch.live
        if room <= 0:
            return _Helping()
        queue = tenant.max_queued - self._backlogs.of(session, tenant.id, tenant.max_queued)
        if queue <= 0:
            return _Helping(blocked_by=QUOTA, again=AGAIN)
        items = jobs.next_items(session, batch, min(room, queue))
        within = _within(batch, items)
        if not within:
            return _Helping(exhausted=True)
        # What the queue or the budget cut short is tried again; the budget may get back what was not used.
        return _Helping(within, again=AGAIN if queue < room and len(within) == len(items) else None)

    def _queue(self, session: Session, batch: Batch, helping: _Helping) -> _Helping:
        """Make jobs of the items; of fewer, or of none, if the tenant's day has no tokens for all."""
        tenant, items = session.get_one(Tenant, batch.tenant_id), helping.items
        while items:
            try:
                with session.begin_nested():
                    jobs.queue_items(session, batch, items, tenant.quotas)
            except DailyTokensExceeded:
                items = items[: len(items) // 2]
                continue
            batch.held -= len(items)
            batch.next_number = items[-1].number + 1
            batch.reserved += sum(item.most for item in items)
            self._backlogs.add(tenant.id, len(items))
            if len(items) == len(helping.items):
                return helping
            return _Helping(items, blocked_by=QUOTA, again=TOMORROW)
        return _Helping(blocked_by=QUOTA, again=TOMORROW)


def _within(batch: Batch, items: Sequence[NextItem]) -> Sequence[NextItem]:
    """Return the first items that the budget of the batch has tokens for, should they use all they may."""
    if batch.max_tokens is None:
        return items
    left = batch.max_tokens - batch.prompt_tokens - batch.completion_tokens - batch.reserved
    sums = accumulate(item.most for item in items)
    return [item for item, needed in zip(items, sums, strict=True) if needed <= left]
