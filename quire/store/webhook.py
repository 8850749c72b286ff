"""Webhooks: where tenants want to be told of what, and what became of each telling.

An event and its deliveries are written in the transaction of what happened: the outbox. A scheduler delivers.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Enum, ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import Text

from quire.store.base import Base, Created, Identifier, Moment


class DeliveryState(StrEnum):
    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"  # given up


STATES = Enum(
    DeliveryState, native_enum=False, length=16, create_constraint=True, name="state",
    values_callable=lambda states: [state.value for state in states],
)  # fmt: skip


class Endpoint(Base):
    __tablename__ = "webhook_endpoints"
    __table_args__ = (Index("webhook_endpoints_of_tenant", "tenant_id", "id"),)

    id: Mapped[Identifier]
    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("tenants.id", ondelete="CASCADE"))
    url: Mapped[str]
    events: Mapped[list[str]] = mapped_column(ARRAY(Text))  # names, as `batch.completed`, `batch.*` or `*`
    description: Mapped[str | None]
    secret: Mapped[bytes]  # sealed
    old_secret: Mapped[bytes | None]  # sealed; signs as well until `old_until`
    old_until: Mapped[datetime | None]
    failures: Mapped[int] = mapped_column(server_default="0")  # since the last success
    disabled_at: Mapped[datetime | None]
    disabled_why: Mapped[str | None]
    created_at: Mapped[Created]


class Event(Base):
    __tablename__ = "webhook_events"
    __table_args__ = (Index("webhook_events_by_age", "created_at"),)

    id: Mapped[Identifier]
    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("tenants.id", ondelete="CASCADE"), index=True)
    type: Mapped[str]
    data: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[Created]


class Delivery(Base):
    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        Index("webhook_deliveries_due", "endpoint_id", "due_at", postgresql_where=text("state = 'pending'")),
        Index("webhook_deliveries_of_endpoint", "endpoint_id", "id"),
        {"postgresql_with": {"fillfactor": "70"}},
    )

    id: Mapped[Identifier]
    event_id: Mapped[UUID] = mapped_column(ForeignKey("webhook_events.id", ondelete="CASCADE"), index=True)
    endpoint_id: Mapped[UUID] = mapped_column(ForeignKey("webhook_endpoints.id", ondelete="CASCADE"))
    tenant_id: Mapped[UUID]
    state: Mapped[DeliveryState] = mapped_column(STATES, server_default=DeliveryState.PENDING.value)
    attempts: Mapped[int] = mapped_column(server_default="0")
    rung: Mapped[int] = mapped_column(server_default="0")  # of the ladder of retries
    due_at: Mapped[Moment] = mapped_column(server_default=text("clock_timestamp()"))
    created_at: Mapped[Created]
    delivered_at: Mapped[datetime | None]


class Attempt(Base):
    __tablename__ = "webhook_attempts"

    delivery_id: Mapped[UUID] = mapped_column(
        ForeignKey("webhook_deliveries.id", ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)  # from 1
    tenant_id: Mapped[UUID]
    at: Mapped[Created]
    status: Mapped[int | None]  # of the answer; null: there was none
    error: Mapped[str | None]
    seconds: Mapped[float]
