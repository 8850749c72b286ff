"""Schedules, what they were before each edit, and their occurrences: one row for each moment that was due."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Enum, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from quire.store.base import Base, Created, Identifier


class OccurrenceState(StrEnum):
    DUE = "due"  # fired; its batch is still to be made
    STARTED = "started"  # it has its batch
    SKIPPED = "skipped"
    FAILED = "failed"  # no batch could be made of it


STATES = Enum(
    OccurrenceState, native_enum=False, length=16, create_constraint=True, name="state",
    values_callable=lambda states: [state.value for state in states],
)  # fmt: skip


class Schedule(Base):
    __tablename__ = "schedules"
    __table_args__ = (
        Index("schedules_due", "fire_at", postgresql_where=text("NOT paused AND fire_at IS NOT NULL")),
        Index("schedules_of_tenant", "tenant_id", "id"),
        Index("schedules_of_planned", "planned_at", postgresql_where=text("publish_by AND next_at IS NOT NULL")),
        {"postgresql_with": {"fillfactor": "70"}},
    )

    id: Mapped[Identifier]
    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("tenants.id"))
    version: Mapped[int] = mapped_column(server_default="1")
    name: Mapped[str]
    body: Mapped[bytes]  # sealed JSON: what is made, as quire/schedules/wanted.py defines it
    kind: Mapped[str]  # cron, rule or at
    expression: Mapped[str]
    zone: Mapped[str]
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime | None]
    catch_up: Mapped[str]  # skip, once or all
    catch_up_most: Mapped[int]
    overlap: Mapped[str]  # queue, skip or cancel
    jitter_seconds: Mapped[int]
    publish_by: Mapped[bool]  # its moments are when a batch is to be complete
    lead_seconds: Mapped[int] = mapped_column(server_default="0")  # that it starts before them
    planned_at: Mapped[datetime | None]  # when that was measured
    paused: Mapped[bool] = mapped_column(server_default="false")
    next_at: Mapped[datetime | None]  # the next moment of the series; null: there is none
    fire_at: Mapped[datetime | None]  # when that is acted upon: with the jitter, less the lead
    fired: Mapped[int] = mapped_column(server_default="0")  # occurrences that were not skipped
    created_at: Mapped[Created]
    updated_at: Mapped[Created]


class ScheduleVersion(Base):
    __tablename__ = "schedule_versions"

    schedule_id: Mapped[UUID] = mapped_column(ForeignKey("schedules.id", ondelete="CASCADE"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    tenant_id: Mapped[UUID]
    body: Mapped[bytes]  # sealed JSON: the whole of what was asked for
    created_at: Mapped[Created]


class Occurrence(Base):
    __tablename__ = "occurrences"
    __table_args__ = (
        Index("occurrences_due", "look_at", postgresql_where=text("state = 'due'")),
        {"postgresql_with": {"fillfactor": "70"}},
    )

    # What makes it once: any number of schedulers may try to insert the same moment of a series.
    schedule_id: Mapped[UUID] = mapped_column(ForeignKey("schedules.id", ondelete="CASCADE"), primary_key=True)
    moment: Mapped[datetime] = mapped_column(primary_key=True)
    tenant_id: Mapped[UUID]
    version: Mapped[int]  # of the schedule
    number: Mapped[int]  # among those not skipped, from 1; 0 of a skipped one
    state: Mapped[OccurrenceState] = mapped_column(STATES)
    why: Mapped[str | None]  # it was skipped or failed
    manual: Mapped[bool] = mapped_column(server_default="false")  # run now
    late: Mapped[bool] = mapped_column(server_default="false")  # cannot be complete by its moment
    batch_id: Mapped[UUID | None]  # no foreign key: the batch may be deleted
    look_at: Mapped[datetime | None]  # when the next try at its batch is due
    fired_at: Mapped[Created]
    started_at: Mapped[datetime | None]
