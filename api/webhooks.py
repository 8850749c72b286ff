"""Webhooks: their endpoints, secrets, test events and deliveries."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, Field
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from api.cursors import cursor, position
from api.responses import Moment, Page, Response
from api.schemas import PageQuery, Request
from quire import ids
from quire.asking.fields import Name, wrong
from quire.crypto import KeyRing
from quire.database import Database
from quire.errors import InvalidField, NotFound, QuotaExceeded
from quire.quotas import Allowance
from quire.store import Attempt, Delivery, Endpoint, Event, Tenant, job_counts
from quire.store.base import now
from quire.store.webhook import DeliveryState
from quire.webhooks import events, signing
from quire.webhooks.events import News
from quire.webhooks.targets import Refused, target_of


def _known(name: str) -> str:
    if name not in events.NAMES:
        raise wrong(f"There is no such event; there are {', '.join(events.NAMES)}")
    return name


EventName = Annotated[str, Field(max_length=64), AfterValidator(_known)]
Events = Annotated[list[EventName], Field(min_length=1, max_length=len(events.NAMES))]
Url = Annotated[str, Field(min_length=1, max_length=2000)]


class EndpointRequest(Request):
    url: Url = Field(description="Where events are posted to, over https.")
    events: Events = Field(default=[events.ALL], description="Which: names, as batch.completed, batch.*, or *.")
    description: Name | None = None


class EndpointChange(Request):
    """What is left out, or null, stays."""

    url: Url | None = None
    events: Events | None = None
    description: Name | None = None
    enabled: bool | None = None


class RotateRequest(Request):
    overlap_hours: int = Field(default=24, ge=0, le=168, description="So long the secret before signs as well.")


class ShownEndpoint(Response):
    id: str
    object: Literal["webhook"] = "webhook"
    url: str
    events: list[str]
    description: str | None
    enabled: bool
    disabled_why: str | None
    failures: int = Field(description="Attempts that failed since the last that did not.")
    created_at: Moment


class EndpointWithSecret(ShownEndpoint):
    secret: str = Field(description="Shown this once: whsec_ and base64 of 32 bytes.")


class EndpointPage(Page):
    data: list[ShownEndpoint]


class ShownAttempt(Response):
    at: Moment
    status: int | None
    error: str | None
    seconds: float


class ShownDelivery(Response):
    id: str
    object: Literal["webhook.delivery"] = "webhook.delivery"
    event_id: str
    type: str
    subject: str | None = Field(description="The id of the job or batch that the event is of.")
    state: DeliveryState
    attempts: list[ShownAttempt]
    due_at: Moment | None = Field(description="When it is tried next.")
    created_at: Moment
    delivered_at: Moment | None


class DeliveryPage(Page):
    data: list[ShownDelivery]


class Webhooks:
    """Each method is one transaction of the tenant. NotFound: it is not the tenant's."""

    def __init__(self, database: Database, ring: KeyRing, *, allow_private: bool, most: int) -> None:
        self._database = database
        self._ring = ring
        self._allow_private = allow_private
        self._most = most

    def make(self, tenant_id: UUID, wanted: EndpointRequest) -> EndpointWithSecret:
        """Set an endpoint up.

        Raises:
            InvalidField: its URL is not one that may be called.
            QuotaExceeded: the tenant has as many as it may.

        """
        self._check(wanted.url)
        with self._database.tenant(tenant_id) as session:
            job_counts.serialise_submissions(session, tenant_id)
            there = session.scalar(select(func.count()).where(Endpoint.tenant_id == tenant_id)) or 0
            if there >= self._most:
                left = Allowance("webhooks", self._most, 0, 60)
                raise QuotaExceeded(f"The tenant has {there} webhooks; its limit is {self._most}.", left)
            secret = signing.new_secret()
            row = Endpoint(
                id=ids.new_id(),
                tenant_id=tenant_id,
                url=wanted.url,
                events=list(dict.fromkeys(wanted.events)),
                description=wanted.description,
                secret=b"",
            )
            row.secret = self._sealed(session, row, secret)
            session.add(row)
            session.flush()
            session.refresh(row)
            return _with_secret(row, secret)

    def page(self, tenant_id: UUID, query: PageQuery) -> EndpointPage:
        before = position(ids.ENDPOINT, query.after)
        wanted = select(Endpoint).where(Endpoint.tenant_id == tenant_id).order_by(Endpoint.id.desc())
        if before is not None:
            wanted = wanted.where(Endpoint.id < before)
        with self._database.tenant(tenant_id) as session:
            rows = session.scalars(wanted.limit(query.limit + 1)).all()
        more = len(rows) > query.limit
        return EndpointPage(
            data=[_endpoint(row) for row in rows[: query.limit]],
            has_more=more,
            next_cursor=cursor(ids.ENDPOINT, rows[query.limit - 1].id) if more else None,
        )

    def one(self, tenant_id: UUID, endpoint: UUID) -> ShownEndpoint:
        with self._database.tenant(tenant_id) as session:
            return _endpoint(_find(session, tenant_id, endpoint))

    def change(self, tenant_id: UUID, endpoint: UUID, wanted: EndpointChange) -> ShownEndpoint:
        """Change what is named; one that is enabled again gets what has piled up."""
        if wanted.url is not None:
            self._check(wanted.url)
        with self._database.tenant(tenant_id) as session:
            row = _find(session, tenant_id, endpoint)
            for name in ("url", "events", "description"):
                if (value := getattr(wanted, name)) is not None:
                    setattr(row, name, value)
            if wanted.enabled is True:
                row.disabled_at = row.disabled_why = None
                row.failures = 0
            elif wanted.enabled is False and row.disabled_at is None:
                row.disabled_at, row.disabled_why = now(session), "Its tenant has switched it off."
            session.flush()
            return _endpoint(row)

    def delete(self, tenant_id: UUID, endpoint: UUID) -> None:
        with self._database.tenant(tenant_id) as session:
            session.delete(_find(session, tenant_id, endpoint))

    def rotate(self, tenant_id: UUID, endpoint: UUID, wanted: RotateRequest) -> EndpointWithSecret:
        """Give an endpoint a new secret; the one before signs as well for a while."""
        with self._database.tenant(tenant_id) as session:
            row = _find(session, tenant_id, endpoint)
            secret = signing.new_secret()
            row.old_secret, row.old_until = row.secret, now(session) + timedelta(hours=wanted.overlap_hours)
            row.secret = self._sealed(session, row, secret)
            session.flush()
            return _with_secret(row, secret)

    def test(self, tenant_id: UUID, endpoint: UUID) -> ShownDelivery:
        """Send an event of type `webhook.test`."""
        with self._database.tenant(tenant_id) as session:
            row = _find(session, tenant_id, endpoint)
            news = News(tenant_id, events.TEST, ids.show(ids.ENDPOINT, row.id))
            [delivery] = events.send(session, [(news, [row.id])])
            return _deliveries(session, tenant_id, row.id, delivery=delivery)[0]

    def deliveries(self, tenant_id: UUID, endpoint: UUID, query: PageQuery) -> DeliveryPage:
        before = position(ids.DELIVERY, query.after)
        with self._database.tenant(tenant_id) as session:
            row = _find(session, tenant_id, endpoint)
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

    def _check(self, url: str) -> None:
        try:
            target_of(url, allow_private=self._allow_private)
        except Refused as refused:
            raise InvalidField.one("url", f"The address {refused}") from None

    def _sealed(self, session: Session, row: Endpoint, secret: str) -> bytes:
        tenant = session.get_one(Tenant, row.tenant_id)
        return self._ring.unwrap(tenant.wrapped_key, tenant.id).seal(secret.encode(), signing.place(row.id))


def _find(session: Session, tenant_id: UUID, endpoint: UUID) -> Endpoint:
    row = session.scalar(select(Endpoint).where(Endpoint.id == endpoint, Endpoint.tenant_id == tenant_id))
    if row is None:
        raise NotFound
    return row


def _endpoint(row: Endpoint) -> ShownEndpoint:
    return ShownEndpoint(
        id=ids.show(ids.ENDPOINT, row.id),
        url=row.url,
        events=row.events,
        description=row.description,
        enabled=row.disabled_at is None,
        disabled_why=row.disabled_why,
        failures=row.failures,
        created_at=row.created_at,
    )


def _with_secret(row: Endpoint, secret: str) -> EndpointWithSecret:
    return EndpointWithSecret(**dict(_endpoint(row)), secret=secret)


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
    return [_delivery(row, event, log.get(row.id, ())) for row, event in rows]


def _delivery(row: Delivery, event: Event, attempts: Sequence[Attempt]) -> ShownDelivery:
    due: datetime | None = row.due_at if row.state is DeliveryState.PENDING else None
    return ShownDelivery(
        id=ids.show(ids.DELIVERY, row.id),
        event_id=ids.show(ids.EVENT, row.event_id),
        type=event.type,
        subject=event.data.get("id"),
        state=row.state,
        attempts=[
            ShownAttempt(at=each.at, status=each.status, error=each.error, seconds=each.seconds)
            for each in attempts
        ],
        due_at=due,
        created_at=row.created_at,
        delivered_at=row.delivered_at,
    )
