"""How items of batches become jobs, and how the ends of these are taken in. The batch is locked throughout."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from quire.jobs.admission import reserve
from quire.jobs.steps import end_by_decree
from quire.quotas import Quotas
from quire.store import lane as lanes
from quire.store.batch import Batch
from quire.store.job import LIVE, Job, State
from quire.store.lane import LaneKey

NEXT = text("""
    SELECT number, model, prompt_tokens + max_tokens AS most,
        prompt_tokens + CASE WHEN kind = 'longform' THEN least(max_tokens, estimate) ELSE max_tokens END
    FROM batch_items
    WHERE batch_id = :batch AND number >= :first AND body IS NOT NULL ORDER BY number LIMIT :limit
""")
# In the order of the items: `seq`, the age in the lane, is drawn in it.
QUEUE = text("""
    WITH fed AS MATERIALIZED (
        SELECT batch_items.*, asked.job_id FROM batch_items
        JOIN unnest(CAST(:numbers AS int[]), CAST(:jobs AS uuid[])) AS asked (number, job_id) USING (number)
        WHERE batch_id = :batch),
    queued AS (
        INSERT INTO jobs (id, tenant_id, model, kind, priority, seed, body, metadata, prompt_tokens, max_tokens,
            estimate, deadline, batch_id)
        SELECT job_id, tenant_id, model, kind, :priority, seed, body, metadata, prompt_tokens, max_tokens,
            estimate, :deadline, batch_id
        FROM fed ORDER BY number)
    UPDATE batch_items SET body = NULL FROM fed
    WHERE batch_items.batch_id = :batch AND batch_items.number = fed.number
""")
ENTER = text("""
    INSERT INTO ledger (job_id, tenant_id, model, day, reserved)
    SELECT id, tenant_id, model, :day,
        prompt_tokens + CASE WHEN kind = 'longform' THEN least(max_tokens, estimate) ELSE max_tokens END
    FROM jobs WHERE id = ANY (CAST(:jobs AS uuid[]))
""")
# By the time of their ends, so that the results come in about the order in which they were made.
COLLECT = text("""
    WITH ended AS MATERIALIZED (
        SELECT id FROM jobs WHERE batch_id = :batch AND NOT collected AND finished_at IS NOT NULL
        ORDER BY id LIMIT :limit FOR NO KEY UPDATE)
    UPDATE jobs SET collected = true FROM ended WHERE jobs.id = ended.id
    RETURNING jobs.id, state, finished_at, prompt_tokens + max_tokens AS most, completion_tokens,
        CASE WHEN started_at IS NULL THEN 0 ELSE prompt_tokens END AS prompt_tokens
""")
PLACE = text("""
    UPDATE batch_items SET place = ended.place
    FROM unnest(CAST(:numbers AS int[]), CAST(:places AS int[])) AS ended (number, place)
    WHERE batch_id = :batch AND batch_items.number = ended.number
""")
UNCOLLECTED = text("""
    SELECT batch_id FROM (
        SELECT batch_id, finished_at FROM jobs
        WHERE batch_id IS NOT NULL AND finished_at IS NOT NULL AND NOT collected
        ORDER BY finished_at LIMIT :limit) AS ended
    GROUP BY batch_id ORDER BY min(finished_at)
""")


@dataclass(frozen=True)
class NextItem:
    """An item that may be fed. Tokens that it may cost at most, and that it reserves: of a book, a slice."""

    number: int
    model: str
    most: int
    reserved: int


def next_items(session: Session, batch: Batch, limit: int) -> list[NextItem]:
    """Return the first items that are held, in their order."""
    row = {"batch": batch.id, "first": batch.next_number, "limit": limit}
    return [NextItem(*item) for item in session.execute(NEXT, row)]


def queue_items(session: Session, batch: Batch, items: Sequence[NextItem], quotas: Quotas) -> None:
    """Make jobs of items, reserve their tokens, and wake their lanes.

    Raises:
        DailyTokensExceeded: they are more than the tenant's day has left; the caller undoes what was done.

    """
    ids = [batch.job(item.number) for item in items]
    tokens: Counter[str] = Counter()
    for item in items:
        tokens[item.model] += item.reserved
    keys = [LaneKey(model, batch.tenant_id) for model in sorted(tokens)]
    for key in keys:
        lanes.open_lane(session, key)
    row: dict[str, Any] = {"batch": batch.id, "numbers": [item.number for item in items], "jobs": ids}
    session.execute(QUEUE, row | {"priority": batch.priority, "deadline": batch.deadline})
    lanes.wake(session, keys)
    day = reserve(session, batch.tenant_id, tokens, quotas)
    session.execute(ENTER, {"jobs": ids, "day": day})


def uncollected(session: Session, limit: int) -> list[UUID]:
    """Return batches with jobs that have ended and are not counted there, the longest since first."""
    return list(session.scalars(UNCOLLECTED, {"limit": limit}))


def collect(session: Session, batch: Batch, limit: int) -> int:
    """Count jobs that have ended in their batch and give them places in its results; returns how many."""
    ended = sorted(
        session.execute(COLLECT, {"batch": batch.id, "limit": limit}), key=lambda row: (row.finished_at, row.id)
    )
    if not ended:
        return 0
    numbers = [batch.number(row.id) for row in ended]
    places = list(range(batch.placed, batch.placed + len(ended)))
    session.execute(PLACE, {"batch": batch.id, "numbers": numbers, "places": places})
    states = Counter(State(row.state) for row in ended)
    batch.placed += len(ended)
    batch.succeeded += states[State.SUCCEEDED]
    batch.failed += states[State.FAILED]
    batch.cancelled += states[State.CANCELLED]
    batch.expired += states[State.EXPIRED]
    batch.prompt_tokens += sum(row.prompt_tokens for row in ended)
    batch.completion_tokens += sum(row.completion_tokens for row in ended)
    batch.reserved -= sum(row.most for row in ended)
    return len(ended)


def end_live(session: Session, batch: Batch, state: State) -> None:
    """End all jobs of a batch that live, with the text that is committed by now."""
    live = select(Job).where(Job.batch_id == batch.id, Job.collected.is_(False), Job.state.in_(LIVE))
    doomed = session.scalars(live.order_by(Job.id).with_for_update(key_share=True)).all()
    end_by_decree(session, doomed, state)
