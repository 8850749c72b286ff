"""Jobs: the table, and the statements that move them. Decisions stand in quire/jobs.py."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Enum, ForeignKeyConstraint, Identity, Index, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, Session, mapped_column

from quire.store.base import Base, Big, Created, Identifier, Small


class State(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"

    @property
    def is_terminal(self) -> bool:
        return self not in LIVE


LIVE = frozenset({State.QUEUED, State.RUNNING})


class Kind(StrEnum):
    TEXT = "text"


class Hold(IntEnum):
    """What keeps a queued job out of the index of runnable jobs."""

    NONE = 0
    NOT_BEFORE = 1


def _named(enum: type[StrEnum]) -> Enum:
    values = [member.value for member in enum]
    return Enum(
        enum, native_enum=False, length=16, create_constraint=True, name=enum.__name__.lower(),
        values_callable=lambda _: values,
    )  # fmt: skip


class Job(Base):
    __tablename__ = "jobs"
    __table_args__ = (
        # The lane is what a claim serves. Inserting a job locks its lane's key, and that lock is what
        # keeps a claim from clearing the lane's `ready` flag under a job not yet committed.
        ForeignKeyConstraint(["model", "tenant_id"], ["lanes.model", "lanes.tenant_id"]),
        CheckConstraint("state <> 'running' OR worker_id IS NOT NULL", name="running_has_worker"),
        Index(
            "jobs_runnable", "model", "tenant_id", text("priority DESC"), "seq",
            postgresql_where=text("state = 'queued' AND hold = 0"),
        ),
        Index("jobs_held", "not_before", postgresql_where=text("state = 'queued' AND hold <> 0")),
        Index("jobs_running", "worker_id", postgresql_where=text("state = 'running'")),
        Index("jobs_queued", "tenant_id", postgresql_where=text("state = 'queued'")),
        Index(
            "jobs_deadline", "deadline",
            postgresql_where=text("state IN ('queued', 'running') AND deadline IS NOT NULL"),
        ),
        Index("jobs_uncompacted", "finished_at", postgresql_where=text("finished_at IS NOT NULL AND NOT compact")),
        Index("jobs_finished", "finished_at", postgresql_where=text("finished_at IS NOT NULL")),
        Index("jobs_of_tenant", "tenant_id", "id"),
        # Room on each page lets most updates stay on it; claims and completions rewrite rows all day.
        {"postgresql_with": {"fillfactor": "85"}},
    )  # fmt: skip

    id: Mapped[Identifier]
    seq: Mapped[Big] = mapped_column(BigInteger, Identity(always=True))  # age inside a lane
    tenant_id: Mapped[UUID]
    model: Mapped[str]
    kind: Mapped[Kind] = mapped_column(_named(Kind))
    state: Mapped[State] = mapped_column(_named(State), server_default=State.QUEUED.value)
    hold: Mapped[Small] = mapped_column(server_default="0")
    priority: Mapped[Small] = mapped_column(server_default="0")
    seed: Mapped[Big]
    body: Mapped[bytes]  # sealed JSON: what was asked for, as quire/spec.py defines it
    user_metadata: Mapped[dict[str, str]] = mapped_column("metadata", JSONB, server_default="{}")
    prompt_tokens: Mapped[int]
    max_tokens: Mapped[int]  # of all delivered pieces together
    estimate: Mapped[int]  # work in tokens, charged to the lane at claim
    charged: Mapped[int] = mapped_column(server_default="0")  # what the current claim has charged

    fence: Mapped[Big] = mapped_column(server_default="0")  # + 1 at each claim, cancel and expiry
    worker_id: Mapped[UUID | None]  # no foreign key: a lapsed worker's row is gone before its jobs move on
    attempts: Mapped[Small] = mapped_column(server_default="0")  # crashes survived; only the reaper counts
    alone: Mapped[bool] = mapped_column(server_default="false")  # it has its engine to itself
    numerics: Mapped[str | None]  # of the worker that ran it
    numerics_changed: Mapped[bool] = mapped_column(server_default="false")

    completion_tokens: Mapped[int] = mapped_column(server_default="0")  # delivered and billed, once terminal
    error: Mapped[dict[str, str] | None] = mapped_column(JSONB)
    compact: Mapped[bool] = mapped_column(server_default="false")  # its text log is one row, or cannot be opened

    created_at: Mapped[Created]
    not_before: Mapped[datetime | None]
    deadline: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class Run(NamedTuple):
    """One claim's run of a job. A job claimed anew is another run, and may be on the same worker."""

    job_id: UUID
    fence: int


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


def lock_overdue(session: Session, limit: int) -> Sequence[Job]:
    """Lock live jobs whose deadline has passed."""
    overdue = text("deadline < clock_timestamp()")
    statement = select(Job).where(Job.state.in_(LIVE), Job.deadline.is_not(None), overdue)
    return session.scalars(_some(statement, limit)).all()


def lock_orphans(session: Session, limit: int) -> Sequence[Job]:
    """Lock running jobs whose worker has no row any more: it lapsed, or was seen to die."""
    gone = text("NOT EXISTS (SELECT FROM workers WHERE workers.id = jobs.worker_id)")
    return session.scalars(_some(select(Job).where(Job.state == State.RUNNING, gone), limit)).all()


def lock_of_worker(session: Session, worker_id: UUID) -> Sequence[Job]:
    """Lock the jobs that run on a worker."""
    statement = select(Job).where(Job.state == State.RUNNING, Job.worker_id == worker_id).order_by(Job.id)
    return session.scalars(statement.with_for_update(key_share=True)).all()


def lock_due(session: Session, limit: int) -> Sequence[Job]:
    """Lock jobs held for a time that has come."""
    due = text("not_before <= clock_timestamp()")
    held = select(Job).where(Job.state == State.QUEUED, Job.hold == Hold.NOT_BEFORE, due)
    return session.scalars(_some(held, limit)).all()


def _some(statement: Any, limit: int) -> Any:
    return statement.order_by(Job.id).limit(limit).with_for_update(key_share=True, skip_locked=True)


# `charged` keeps what the last claim charged, for whoever settles it; the next claim overwrites it.
MOVE = text("""
    UPDATE jobs SET state = move.state, worker_id = NULL, error = CAST(move.error AS jsonb),
        completion_tokens = move.completion_tokens, fence = jobs.fence + move.fences,
        attempts = jobs.attempts + move.attempts,
        finished_at = CASE WHEN move.state <> 'queued' THEN clock_timestamp() END
    FROM unnest(CAST(:ids AS uuid[]), CAST(:states AS text[]), CAST(:completion_tokens AS int[]),
        CAST(:errors AS text[]), CAST(:fences AS int[]), CAST(:attempts AS int[]))
        AS move (id, state, completion_tokens, error, fences, attempts)
    WHERE jobs.id = move.id
    RETURNING jobs.id, tenant_id, model, charged, prompt_tokens, started_at
""")
ALONE = text("UPDATE jobs SET alone = true WHERE id = :id AND fence = :fence AND state = 'running' RETURNING id")


@dataclass(frozen=True)
class Move:
    """One job's step out of a live state. The job is locked by this transaction."""

    id: UUID
    state: State
    completion_tokens: int = 0  # delivered, if the state is terminal
    error: dict[str, str] | None = None
    new_fence: bool = False  # shuts out the worker that may still be writing
    attempt: bool = False  # counts one


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


def mark_alone(session: Session, job_id: UUID, fence: int) -> bool:
    """Note that a running job has its engine to itself; False if it is somebody else's by now."""
    return session.execute(ALONE, {"id": job_id, "fence": fence}).first() is not None


AHEAD = text("""
    SELECT count(*) FROM (
        SELECT FROM jobs WHERE model = :model AND tenant_id = :tenant AND state = 'queued' AND hold = 0
            AND (priority > :priority OR (priority = :priority AND seq < :seq))
        LIMIT :limit) AS ahead
""")
QUEUED = text("""
    SELECT count(*) FROM (
        SELECT FROM jobs WHERE tenant_id = :tenant AND state = 'queued' LIMIT :limit) AS queued
""")
RUNNABLE = text("SELECT model, count(*) AS jobs FROM jobs WHERE state = 'queued' AND hold = 0 GROUP BY model")
RUNNING = text("""
    SELECT workers.model, greatest(sum(workers.slots - busy.jobs), 0)
    FROM workers CROSS JOIN LATERAL (
        SELECT count(*) AS jobs FROM jobs WHERE jobs.worker_id = workers.id AND jobs.state = 'running') AS busy
    WHERE workers.lease_until > clock_timestamp() AND NOT workers.draining GROUP BY workers.model
""")


def position(session: Session, job: Job, limit: int = 100_000) -> int:
    """Return 1 for the next job of its lane, and so on; counted no further than `limit`."""
    where = {"model": job.model, "tenant": job.tenant_id, "priority": job.priority, "seq": job.seq}
    return 1 + int(session.scalar(AHEAD, where | {"limit": limit}) or 0)


def queued_of(session: Session, tenant_id: UUID, limit: int) -> int:
    """How many jobs the tenant has waiting, held ones too; counted no further than `limit`."""
    return int(session.scalar(QUEUED, {"tenant": tenant_id, "limit": limit}) or 0)


def runnable_by_model(session: Session) -> dict[str, int]:
    return {row.model: row.jobs for row in session.execute(RUNNABLE)}


def free_slots_by_model(session: Session) -> dict[str, int]:
    return {model: int(free) for model, free in session.execute(RUNNING)}
