"""Batches and their items. An item is a row here until it is fed; from then on it is a job.

Items are fed in the order of their numbers, and the id of item n's job is the batch's first job's plus n. What has
ended has a place in the results, in the order in which it ended: places are dense, so results only grow.
"""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, Enum, ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from quire.store.base import Base, Big, Created, Identifier, Small


class BatchState(StrEnum):
    RECEIVING = "receiving"  # its items are still being checked; nobody but its submitter knows of it
    RUNNING = "running"
    COMPLETED = "completed"  # every item has ended, well or not
    CANCELLED = "cancelled"
    EXPIRED = "expired"  # its deadline passed
    EXHAUSTED = "exhausted"  # its budget was used up

    @property
    def is_over(self) -> bool:
        return self not in {BatchState.RECEIVING, BatchState.RUNNING}


STATES = Enum(
    BatchState, native_enum=False, length=16, create_constraint=True, name="state",
    values_callable=lambda states: [state.value for state in states],
)  # fmt: skip


class Batch(Base):
    __tablename__ = "batches"
    __table_args__ = (
        CheckConstraint("max_running > 0", name="max_running"),
        CheckConstraint("max_tokens > 0", name="max_tokens"),
        # When the next of its items may be fed: never, while its window is full.
        Index("batches_hungry", "feed_at", postgresql_where=text("state = 'running' AND held > 0")),
        Index("batches_deadline", "deadline", postgresql_where=text("state = 'running' AND deadline IS NOT NULL")),
        Index("batches_receiving", "created_at", postgresql_where=text("state = 'receiving'")),
        Index("batches_finished", "tenant_id", "finished_at", postgresql_where=text("finished_at IS NOT NULL")),
        Index("batches_of_tenant", "tenant_id", "id"),
        Index("batches_of_schedule", "schedule_id", "id", postgresql_where=text("schedule_id IS NOT NULL")),
        Index("batches_open", "tenant_id", postgresql_where=text("state IN ('receiving', 'running')")),
        {"postgresql_with": {"fillfactor": "50"}},
    )

    id: Mapped[Identifier]
    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("tenants.id"))
    state: Mapped[BatchState] = mapped_column(STATES, server_default=BatchState.RECEIVING.value)
    parent_id: Mapped[UUID | None]  # the batch whose failed items these were
    schedule_id: Mapped[UUID | None]  # whose occurrence it is of; no foreign key: schedules may be deleted
    first_job: Mapped[UUID]
    priority: Mapped[Small]
    max_running: Mapped[int | None]  # items that wait or run as jobs at once; null: the server's window
    max_tokens: Mapped[Big | None]  # that may be billed; null: no budget of its own
    deadline: Mapped[datetime | None]
    retention_hours: Mapped[int | None]
    user_metadata: Mapped[dict[str, str]] = mapped_column("metadata", JSONB, server_default="{}")
    blocked_by: Mapped[str | None]  # why it is not fed, as of the last try

    total: Mapped[int] = mapped_column(server_default="0")
    held: Mapped[int] = mapped_column(server_default="0")  # items not fed yet
    next_number: Mapped[int] = mapped_column(server_default="0")  # none before it is held
    placed: Mapped[int] = mapped_column(server_default="0")  # places given in the results
    succeeded: Mapped[int] = mapped_column(server_default="0")
    failed: Mapped[int] = mapped_column(server_default="0")
    cancelled: Mapped[int] = mapped_column(server_default="0")
    expired: Mapped[int] = mapped_column(server_default="0")
    prompt_tokens: Mapped[Big] = mapped_column(server_default="0")  # billed
    completion_tokens: Mapped[Big] = mapped_column(server_default="0")
    reserved: Mapped[Big] = mapped_column(server_default="0")  # of its jobs that have not been collected

    feed_at: Mapped[datetime | None]
    created_at: Mapped[Created]
    finished_at: Mapped[datetime | None]

    @property
    def live(self) -> int:
        """Items that are jobs and have not been collected."""
        return self.total - self.held - self.succeeded - self.failed - self.cancelled - self.expired

    def job(self, number: int) -> UUID:
        return UUID(int=self.first_job.int + number)

    def number(self, job: UUID) -> int:
        return job.int - self.first_job.int


class BatchItem(Base):
    __tablename__ = "batch_items"
    __table_args__ = (
        Index("batch_items_placed", "batch_id", "place", postgresql_where=text("place IS NOT NULL")),
        {"postgresql_with": {"fillfactor": "85"}},
    )

    batch_id: Mapped[UUID] = mapped_column(ForeignKey("batches.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # from 0, as they were sent
    tenant_id: Mapped[UUID]
    custom_id: Mapped[str | None]
    body: Mapped[bytes | None]  # sealed for its job; null once that is there
    model: Mapped[str | None]
    kind: Mapped[str | None]
    seed: Mapped[Big | None]
    prompt_tokens: Mapped[int | None]
    max_tokens: Mapped[int | None]
    estimate: Mapped[int | None]
    user_metadata: Mapped[dict[str, str]] = mapped_column("metadata", JSONB, server_default="{}")
    error: Mapped[dict[str, str] | None] = mapped_column(JSONB)  # why it never became a job
    place: Mapped[int | None]  # in the results
