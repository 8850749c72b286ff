"""What was sent to an endpoint, with each attempt; and sending again, or by way of trial."""

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.cursors import cursor, position
from api.schemas import PageQuery
from api.webhooks.answers import DeliveryPage, ShownDelivery, shown_delivery
from api.webhooks.keeping import find
from quire import ids
from quire.database import Database
from quire.errors import NotFound
from quire.store import Attempt, Delivery, Event
from quire.store.base import now
from quire.store.webhook import DeliveryState
from quire.webhooks import events
from quire.webhooks.events import News


class Deliveries:
    """Each method is one transaction of the tenant. NotFound: it is not the tenant's."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def test(self, tenant_id: UUID, endpoint: UUID) -> ShownDelivery:
        """Send an event of type `webhook.test`."""
        with self._database.tenant(tenant_id) as session:
            row = find(session, tenant_id, endpoint)
            news = News(tenant_id, events.TEST, ids.show(ids.ENDPOINT, row.id))
            [delivery] = events.send(session, [(news, [row.id])])
            return _deliveries(session, tenant_id, row.id, delivery=delivery)[0]

    def page(self, tenant_id: UUID, endpoint: UUID, query: PageQuery) -> DeliveryPage:
        before = position(ids.DELIVERY, query.after)
        with self._database.tenant(tenant_id) as session:
            row = find(session, tenant_id, endpoint)
            found = _deliveries(session, tenant_id, row.id, before=before, limit=query.limit + 1)
        more = len(found) > query.limit
        last = ids.parse(ids.DELIVERY, found[query.limit - 1].id) if more else None
        return DeliveryPage(
            data=found[: query.limit], has_more=more, next_cursor=cursor(ids.DELIVERY, last) if last else None
        )

    def redeliver(self, tenant_id: UUID, endpoint: UUID, delivery: UUID) -> ShownDelivery:
        """Try a delivery again, now, whatever became of it; its webhook-id stays."""
        with self._database.tenant(tenant_id) as session:
            row = session.scalar(
                select(Delivery)
                .where(Delivery.id == delivery, Delivery.endpoint_id == endpoint, Delivery.tenant_id == tenant_id)
                .with_for_update()
            )
            if row is None:
                raise NotFound
            row.state, row.rung, row.due_at, row.delivered_at = DeliveryState.PENDING, 0, now(session), None
            session.flush()
            return _deliveries(session, tenant_id, endpoint, delivery=row.id)[0]


def _deliveries(
    session: Session,
    tenant_id: UUID,
    endpoint: UUID,
    *,
    delivery: UUID | None = None,
    before: UUID | None = None,
    limit: int = 1,
) -> list[ShownDelivery]:
    """Return deliveries to an endpoint, newest first, or one of them."""
    wanted = (
        select(Delivery, Event)
        .join(Event, Event.id == Delivery.event_id)
        .where(Delivery.endpoint_id == endpoint, Delivery.tenant_id == tenant_id)
    )
    if delivery is not None:
        wanted = wanted.where(Delivery.id == delivery)
    if before is not None:
        wanted = wanted.where(Delivery.id < before)
    rows = session.execute(wanted.order_by(Delivery.id.desc()).limit(limit)).all()
    tried = select(Attempt).where(Attempt.delivery_id.in_([row.id for row, _ in rows]))
    log: dict[UUID, list[Attempt]] = {}
    for attempt in session.scalars(tried.order_by(Attempt.number)) if rows else ():
        log.setdefault(attempt.delivery_id, []).append(attempt)
    return [shown_delivery(row, event, log.get(row.id, ())) for row, event in rows]
