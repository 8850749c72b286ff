"""What is shown of webhooks: endpoints, and deliveries to them with each attempt."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from api.responses import Moment, Page, Response
from quire import ids
from quire.store import Attempt, Delivery, Endpoint, Event
from quire.store.webhook import DeliveryState


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
    subject: str | None = Field(description="The id of what the event is of.")
    state: DeliveryState
    attempts: list[ShownAttempt]
    due_at: Moment | None = Field(description="When it is tried next.")
    created_at: Moment
    delivered_at: Moment | None


class DeliveryPage(Page):
    data: list[ShownDelivery]


def shown_endpoint(row: Endpoint) -> ShownEndpoint:
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


def shown_with_secret(row: Endpoint, secret: str) -> EndpointWithSecret:
    return EndpointWithSecret(**dict(shown_endpoint(row)), secret=secret)


def shown_delivery(row: Delivery, event: Event, attempts: Sequence[Attempt]) -> ShownDelivery:
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
        due_at=row.due_at if row.state is DeliveryState.PENDING else None,
        created_at=row.created_at,
        delivered_at=row.delivered_at,
    )
