"""What tenants are told of. An event is written in the transaction of what happened, with its deliveries."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from quire import ids
from quire.store.webhook import Delivery, Endpoint, Event

TYPES = (
    *("job.succeeded", "job.failed", "job.cancelled", "job.expired"),
    *("response.completed", "response.failed", "response.cancelled", "response.incomplete"),
    *("batch.completed", "batch.cancelled", "batch.expired", "batch.exhausted", "batch.failed"),
    *("schedule.late", "schedule.failed"),
)
TEST = "webhook.test"  # sent when it is asked for, whatever an endpoint is subscribed to
ALL = "*"
NAMES = (*TYPES, *dict.fromkeys(f"{name.split('.')[0]}.*" for name in TYPES), ALL)


@dataclass(frozen=True)
class News:
    """Something that happened to what a tenant has asked for."""

    tenant_id: UUID
    type: str
    subject: str  # its id, as it is shown
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def data(self) -> dict[str, Any]:
        return {"id": self.subject} | self.more


def tell(session: Session, news: Sequence[News]) -> None:
    """Write events for the endpoints that are subscribed to them; nothing, where there is none."""
    if not news:
        return
    tenants = {each.tenant_id for each in news}
    wanted = select(Endpoint.id, Endpoint.tenant_id, Endpoint.events).where(
        Endpoint.tenant_id.in_(tenants), Endpoint.disabled_at.is_(None)
    )
    endpoints = session.execute(wanted).all()
    if not endpoints:
        return
    pairs = [
        (
            each,
            [row.id for row in endpoints if row.tenant_id == each.tenant_id and subscribed(row.events, each.type)],
        )
        for each in news
    ]
    send(session, [(each, chosen) for each, chosen in pairs if chosen])


def send(session: Session, told: Sequence[tuple[News, Sequence[UUID]]]) -> list[UUID]:
    """Write events with deliveries to these endpoints; returns the deliveries."""
    events: list[dict[str, Any]] = []
    deliveries: list[dict[str, Any]] = []
    for news, endpoints in told:
        event = ids.new_id()
        events.append({"id": event, "tenant_id": news.tenant_id, "type": news.type, "data": news.data})
        deliveries += [
            {"id": ids.new_id(), "event_id": event, "endpoint_id": endpoint, "tenant_id": news.tenant_id}
            for endpoint in endpoints
        ]
    if events:
        session.execute(insert(Event), events)
        session.execute(insert(Delivery), deliveries)
    return [delivery["id"] for delivery in deliveries]


def subscribed(names: Sequence[str], event: str) -> bool:
    """Whether a subscription to these names covers an event."""
    return any(name in {event, ALL, f"{event.split('.', maxsplit=1)[0]}.*"} for name in names)


def body(event: Event) -> bytes:
    """Return what is sent: in the shape of Standard Webhooks and of OpenAI's, the same in all attempts."""
    told = {
        "id": ids.show(ids.EVENT, event.id),
        "object": "event",
        "type": event.type,
        "created_at": int(event.created_at.timestamp()),
        "timestamp": event.created_at.isoformat(),
        "data": event.data,
    }
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()
