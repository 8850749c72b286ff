"""Jobs: the table, their states, and what may hold them back."""

from datetime import datetime
from enum import IntEnum, StrEnum
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Enum, ForeignKeyConstraint, Identity, Index, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.orm import Mapped, mapped_column

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
    MUSIC = "music"
    LONGFORM = "longform"


class Hold(IntEnum):
    """What keeps a queued job out of the index of runnable jobs."""

    NONE = 0
    NOT_BEFORE = 1
    PAUSED = 2  # by its tenant
    BUDGET = 3  # of its tenant is used up


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
        Index("jobs_troubled", "id", postgresql_where=text("state IN ('queued', 'running') AND attempts > 0")),
        Index(
            "jobs_lost_workers", "lost_workers", postgresql_using="gin",
            postgresql_where=text("cardinality(lost_workers) > 0"),
        ),
        Index("jobs_uncompacted", "finished_at", postgresql_where=text("finished_at IS NOT NULL AND NOT compact")),
        Index("jobs_finished", "finished_at", postgresql_where=text("finished_at IS NOT NULL")),
        Index(
            "jobs_finished_of_tenant", "tenant_id", "finished_at", postgresql_where=text("finished_at IS NOT NULL")
        ),
        Index(
            "jobs_forget_at",
            text("((finished_at AT TIME ZONE 'UTC'::text) + make_interval(hours => retention_hours))"),
            postgresql_where=text("finished_at IS NOT NULL AND retention_hours IS NOT NULL"),
        ),
        Index("jobs_of_tenant", "tenant_id", "id"),
        Index("jobs_of_batch", "batch_id", postgresql_where=text("batch_id IS NOT NULL AND NOT collected")),
        Index(
            "jobs_uncollected", "finished_at",
            postgresql_where=text("batch_id IS NOT NULL AND finished_at IS NOT NULL AND NOT collected"),
        ),
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
    attempts: Mapped[Small] = mapped_column(
        server_default="0"
    )  # deaths it may have caused; only the reaper counts
    # Whose deaths these were. One that another job turns out to have caused is taken off again.
    lost_workers: Mapped[list[UUID]] = mapped_column(ARRAY(PG_UUID(as_uuid=True)), server_default="{}")
    alone: Mapped[bool] = mapped_column(server_default="false")  # it has its engine to itself
    numerics: Mapped[str | None]  # of the worker that ran it
    numerics_changed: Mapped[bool] = mapped_column(server_default="false")

    completion_tokens: Mapped[int] = mapped_column(server_default="0")  # delivered and billed, once terminal
    error: Mapped[dict[str, str] | None] = mapped_column(JSONB)
    compact: Mapped[bool] = mapped_column(server_default="false")  # its text log is one row, or cannot be opened
    retention_hours: Mapped[int | None]  # kept so long after its end; null: as long as the tenant's jobs are
    batch_id: Mapped[UUID | None]  # the batch it is an item of; no foreign key, which each insert would look up
    background: Mapped[bool] = mapped_column(server_default="false")  # a response that nobody waits for
    collected: Mapped[bool] = mapped_column(server_default="false")  # its end is counted in its batch

    created_at: Mapped[Created]
    not_before: Mapped[datetime | None]
    deadline: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class Run(NamedTuple):
    """One claim's run of a job. A job claimed anew is another run, and may be on the same worker."""

    job_id: UUID
    fence: int
