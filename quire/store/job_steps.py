"""The statements that lock jobs and move them. Decisions stand in quire/jobs/."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from quire.store.job import LIVE, Hold, Job, Kind, Run, State
from quire.store.tenant import Tenant

# The conditions of partial indexes, word for word: of a value that comes as a parameter a plan cannot know.
HELD = text("state = 'queued' AND hold <> 0")
RUNNING = text("state = 'running'")
WITH_DEADLINE = text("state IN ('queued', 'running') AND deadline IS NOT NULL")
# When the statement began. clock_timestamp() moves on while a statement runs, so no index could be asked for it.
STARTED = func.statement_timestamp()
# Every transition locks its jobs first, in the order of their ids, then their lanes, in key order.
LOCK_FENCED = text("""
    SELECT jobs.id, jobs.fence FROM jobs
    JOIN unnest(CAST(:ids AS uuid[]), CAST(:fences AS bigint[])) AS mine (id, fence)
        ON jobs.id = mine.id AND jobs.fence = mine.fence
    WHERE jobs.state = 'running' ORDER BY jobs.id FOR NO KEY UPDATE OF jobs
""")


def lock_fenced(session: Session, runs: Sequence[Run]) -> set[Run]:
    """Lock the jobs that still run under these fences; the others belong to somebody else by now."""
    parameters = {"ids": [run.job_id for run in runs], "fences": [run.fence for run in runs]}
    return {Run(*row) for row in session.execute(LOCK_FENCED, parameters)}


def of_tenant(session: Session, tenant_id: UUID, job_id: UUID, *, lock: bool = False) -> Job | None:
    """One job of one tenant, locked if asked."""
    statement = select(Job).where(Job.id == job_id, Job.tenant_id == tenant_id)
    return session.scalar(statement.with_for_update(key_share=True) if lock else statement)


def of_tenant_with_key(session: Session, tenant_id: UUID, job_id: UUID) -> tuple[Job, Tenant] | None:
    """One job of one tenant, and that tenant, who has the key to it."""
    statement = select(Job, Tenant).join(Tenant, Tenant.id == Job.tenant_id)
    row = session.execute(statement.where(Job.id == job_id, Job.tenant_id == tenant_id)).first()
    return row and (row[0], row[1])


def lock_overdue(session: Session, limit: int) -> Sequence[Job]:
    """Lock live jobs whose deadline has passed."""
    statement = select(Job).where(WITH_DEADLINE, Job.deadline < STARTED)
    return session.scalars(_some(statement, Job.deadline, limit)).all()


def lock_orphans(session: Session, limit: int) -> Sequence[Job]:
    """Lock running jobs whose worker has no row any more: it lapsed, or was seen to die.

    The one that had the worker to itself comes last, so that it still tells of that while the others are moved.
    """
    gone = text("NOT EXISTS (SELECT FROM workers WHERE workers.id = jobs.worker_id)")
    statement = select(Job).where(RUNNING, gone).order_by(Job.worker_id)
    return session.scalars(_some(statement, Job.alone, limit)).all()


def lock_suspended(session: Session, limit: int) -> Sequence[Job]:
    """Lock running jobs of tenants that are suspended."""
    suspended = text("tenant_id IN (SELECT tenants.id FROM tenants WHERE suspended_at IS NOT NULL)")
    return session.scalars(_some(select(Job).where(RUNNING, suspended), Job.worker_id, limit)).all()


OVER_BUDGET = """
    tenant_id IN (SELECT tenants.id FROM tenants WHERE max_tokens_per_day < (
        SELECT coalesce(sum(reserved + prompt_tokens + completion_tokens), 0) FROM usage
        WHERE usage.tenant_id = tenants.id AND day = (clock_timestamp() AT TIME ZONE 'UTC')::date))
"""


def lock_over_budget(session: Session, limit: int) -> Sequence[Job]:
    """Lock running books of tenants that have used more tokens today than they may."""
    books = select(Job).where(RUNNING, Job.kind == Kind.LONGFORM, text(OVER_BUDGET))
    return session.scalars(_some(books, Job.worker_id, limit)).all()


def lock_within_budget(session: Session, limit: int) -> Sequence[Job]:
    """Lock books held for their tenant's budget, which has tokens again: of each tenant the oldest.

    Where they are too many, those of chance: in any other order the same ones, for which there is no room, would
    stand before all others for ever.
    """
    turn = func.row_number().over(partition_by=Job.tenant_id, order_by=Job.id).label("turn")
    held = select(Job.id, turn).where(HELD, Job.hold == Hold.BUDGET, text(f"NOT {OVER_BUDGET}")).subquery()
    chosen = select(held.c.id).order_by(held.c.turn, func.random()).limit(limit)
    books = select(Job).where(HELD, Job.hold == Hold.BUDGET, Job.id.in_(chosen))
    return session.scalars(books.with_for_update(key_share=True, skip_locked=True)).all()


HOLD = text("UPDATE jobs SET hold = :hold WHERE id = ANY (CAST(:jobs AS uuid[]))")


def hold(session: Session, jobs: Collection[UUID], reason: Hold) -> None:
    """Hold queued jobs that are locked."""
    if jobs:
        session.execute(HOLD, {"jobs": list(jobs), "hold": int(reason)})


def lock_live(session: Session, tenant_id: UUID, limit: int) -> Sequence[Job]:
    """Lock live jobs of one tenant."""
    live = select(Job).where(Job.tenant_id == tenant_id, Job.state.in_(LIVE)).order_by(Job.id).limit(limit)
    return session.scalars(live.with_for_update(key_share=True)).all()


def lock_of_worker(session: Session, worker_id: UUID) -> Sequence[Job]:
    """Lock the jobs that run on a worker."""
    statement = select(Job).where(RUNNING, Job.worker_id == worker_id).order_by(Job.id)
    return session.scalars(statement.with_for_update(key_share=True)).all()


def lock_due(session: Session, limit: int) -> Sequence[Job]:
    """Lock jobs held for a time that has come."""
    held = select(Job).where(HELD, Job.hold == Hold.NOT_BEFORE, Job.not_before <= STARTED)
    return session.scalars(_some(held, Job.not_before, limit)).all()


# In the order of an index, so that what is not yet due is not read, however much it is. It need not be that of the
# ids: who skips what is locked waits for nobody.
def _some(statement: Any, order: Any, limit: int) -> Any:
    return statement.order_by(order).limit(limit).with_for_update(key_share=True, skip_locked=True)


# `charged` keeps what the last claim charged, for whoever settles it; the next claim overwrites it.
MOVE = text("""
    UPDATE jobs SET state = move.state, worker_id = NULL, error = CAST(move.error AS jsonb),
        completion_tokens = move.completion_tokens, fence = jobs.fence + move.fences,
        attempts = jobs.attempts + move.attempts,
        lost_workers = CASE WHEN move.attempts > 0 THEN lost_workers || worker_id ELSE lost_workers END,
        finished_at = CASE WHEN move.state <> 'queued' THEN clock_timestamp() END
    FROM unnest(CAST(:ids AS uuid[]), CAST(:states AS text[]), CAST(:completion_tokens AS int[]),
        CAST(:errors AS text[]), CAST(:fences AS int[]), CAST(:attempts AS int[]))
        AS move (id, state, completion_tokens, error, fences, attempts)
    WHERE jobs.id = move.id
    RETURNING jobs.id, tenant_id, model, charged, prompt_tokens, started_at, batch_id, background
""")


@dataclass(frozen=True)
class Move:
    """One job's step out of a live state. The job is locked by this transaction."""

    id: UUID
    state: State
    completion_tokens: int = 0  # delivered, if the state is terminal
    error: dict[str, str] | None = None
    cut: bool = False  # a piece of it ended at its most tokens; for whoever tells of it
    new_fence: bool = False  # shuts out the worker that may still be writing
    attempt: bool = False  # counts one: its worker is dead, and it may be to blame


def move(session: Session, moves: Sequence[Move]) -> list[Any]:
    """Take the steps; returns a row for each with its lane, what its claim charged, and its prompt's tokens."""
    columns = {
        "ids": [step.id for step in moves],
        "states": [step.state.value for step in moves],
        "completion_tokens": [step.completion_tokens for step in moves],
        "errors": [json.dumps(step.error) if step.error else None for step in moves],
        "fences": [int(step.new_fence) for step in moves],
        "attempts": [int(step.attempt) for step in moves],
    }
    return list(session.execute(MOVE, columns).all())
