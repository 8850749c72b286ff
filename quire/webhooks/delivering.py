"""The outbox, as a scheduler empties it: which deliveries are due, and what became of an attempt."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.orm import Session

from quire.store.base import now
from quire.store.webhook import Attempt, Delivery, DeliveryState, Endpoint, Event

# The ladder of the standard: seconds from each attempt to the next.
LADDER = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
LEASE = timedelta(seconds=60)  # after that a delivery whose scheduler was lost is due again
GONE = 410  # the endpoint says that it is no more: it is disabled
PRUNED = 500

# Endpoint by endpoint along the index of what is pending, however much that is: nobody's backlog hides another's.
# One that has failed is tried with one delivery at a time.
DUE = text("""
    WITH RECURSIVE waiting AS (
        (SELECT endpoint_id FROM webhook_deliveries WHERE state = 'pending' ORDER BY endpoint_id LIMIT 1)
        UNION ALL
        SELECT (SELECT next.endpoint_id FROM webhook_deliveries AS next
            WHERE state = 'pending' AND next.endpoint_id > waiting.endpoint_id ORDER BY next.endpoint_id LIMIT 1)
        FROM waiting WHERE waiting.endpoint_id IS NOT NULL),
    open AS (
        SELECT endpoint.id, failures > 0 AS suspect, first.due_at FROM waiting
        JOIN webhook_endpoints AS endpoint ON endpoint.id = waiting.endpoint_id
        JOIN tenants ON tenants.id = endpoint.tenant_id
        CROSS JOIN LATERAL (
            SELECT due_at FROM webhook_deliveries WHERE endpoint_id = endpoint.id AND state = 'pending'
                AND due_at <= clock_timestamp() ORDER BY due_at LIMIT 1) AS first
        WHERE disabled_at IS NULL AND suspended_at IS NULL AND endpoint.id <> ALL (CAST(:busy AS uuid[]))),
    chosen AS (
        (SELECT * FROM open WHERE NOT suspect ORDER BY due_at LIMIT :endpoints)
        UNION ALL
        (SELECT * FROM open WHERE suspect ORDER BY due_at LIMIT :suspects))
    SELECT due.id FROM chosen CROSS JOIN LATERAL (
        SELECT id FROM webhook_deliveries WHERE endpoint_id = chosen.id AND state = 'pending'
            AND due_at <= clock_timestamp() ORDER BY due_at LIMIT CASE WHEN suspect THEN 1 ELSE :each END) AS due
""")


@dataclass(frozen=True)
class Due:
    """A delivery that this process has taken, for as long as the lease lasts."""

    id: UUID
    attempts: int
    rung: int
    event: Event
    endpoint: Endpoint


@dataclass(frozen=True)
class Outcome:
    """What an attempt came to. Without a status there was no answer, and `error` says why."""

    due: Due
    seconds: float
    status: int | None = None
    error: str | None = None

    @property
    def delivered(self) -> bool:
        return self.error is None


def take(
    session: Session, *, endpoints: int, suspects: int, each: int, busy: Collection[UUID]
) -> dict[UUID, list[Due]]:
    """Take what is due: of so many endpoints and of so many that have failed, `each` of one; by endpoint."""
    asked = {"endpoints": endpoints, "suspects": suspects, "each": each, "busy": list(busy)}
    found = list(session.scalars(DUE, asked))
    moment = now(session)
    # Another scheduler may have found the same: the update sees what that one has written.
    mine = (
        update(Delivery)
        .where(Delivery.id.in_(found), Delivery.state == DeliveryState.PENDING, Delivery.due_at <= moment)
        .values(due_at=moment + LEASE)
        .returning(Delivery.id)
    )
    taken = session.scalars(mine).all() if found else []
    rows = (
        select(Delivery, Event, Endpoint)
        .join(Event, Event.id == Delivery.event_id)
        .join(Endpoint, Endpoint.id == Delivery.endpoint_id)
        .where(Delivery.id.in_(taken))
        .order_by(Delivery.id)
    )
    work: dict[UUID, list[Due]] = defaultdict(list)
    for delivery, event, endpoint in session.execute(rows) if taken else ():
        work[endpoint.id].append(Due(delivery.id, delivery.attempts, delivery.rung, event, endpoint))
    return dict(work)


def write(session: Session, outcomes: Sequence[Outcome]) -> None:
    """Write what attempts came to: the log, and when the next is due."""
    for outcome in sorted(outcomes, key=lambda each: each.due.id):
        _write(session, outcome)


def give_back(session: Session, untried: Sequence[Due]) -> None:
    """Make deliveries due again that were taken and not attempted."""
    waiting = Delivery.id.in_([due.id for due in untried]), Delivery.state == DeliveryState.PENDING
    if untried:
        session.execute(update(Delivery).where(*waiting).values(due_at=now(session)))


def _write(session: Session, outcome: Outcome) -> None:
    due = outcome.due
    moment = now(session)
    # Whoever was slower than the lease has been overtaken: that attempt is in the log already.
    mine = (
        update(Delivery)
        .where(Delivery.id == due.id, Delivery.attempts == due.attempts)
        .values(attempts=due.attempts + 1, **_next(outcome, moment))
        .returning(Delivery.id)
    )
    if session.scalar(mine) is None:
        return
    session.execute(insert(Attempt).values(
        delivery_id=due.id, number=due.attempts + 1, tenant_id=due.event.tenant_id, status=outcome.status,
        error=outcome.error, seconds=outcome.seconds,
    ))  # fmt: skip
    session.execute(update(Endpoint).where(Endpoint.id == due.endpoint.id).values(**_standing(outcome, moment)))


def _next(outcome: Outcome, moment: Any) -> dict[str, Any]:
    rung = outcome.due.rung
    if outcome.delivered:
        return {"state": DeliveryState.DELIVERED, "delivered_at": moment}
    if outcome.status == GONE or rung >= len(LADDER):
        return {"state": DeliveryState.FAILED}
    return {"rung": rung + 1, "due_at": moment + timedelta(seconds=LADDER[rung])}


def _standing(outcome: Outcome, moment: Any) -> dict[str, Any]:
    if outcome.delivered:
        return {"failures": 0}
    gone = {"disabled_at": moment, "disabled_why": "It answered 410 Gone."} if outcome.status == GONE else {}
    return {"failures": Endpoint.failures + 1} | gone


def prune(session: Session, days: int) -> int:
    """Delete events older than so many days, with their deliveries, delivered or not."""
    old = select(Event.id).where(Event.created_at < now(session) - timedelta(days=days)).limit(PRUNED)
    return len(session.scalars(delete(Event).where(Event.id.in_(old)).returning(Event.id)).all())
