"""The outbox, as a scheduler empties it: which deliveries are due, and what became of an attempt."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import takewhile
from typing import Any
from uuid import UUID

from sqlalchemy import delete, select, text, update
from sqlalchemy.orm import Session

from quire.store.base import now
from quire.store.webhook import Delivery, DeliveryState, Endpoint, Event

# The ladder of the standard: seconds from each attempt to the next.
LADDER = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
LEASE = timedelta(seconds=60)  # after that a delivery whose scheduler was lost is due again
GONE = 410  # the endpoint says that it is no more: it is disabled
PRUNED = 500

# Endpoint by endpoint along the index of what is pending, however much that is: nobody's backlog hides another's.
# Tenants take turns, and each has its share of the threads at most. Among the endpoints of one, lots are drawn:
# those with the oldest deliveries are the slow and the dead. One that has failed is tried with one delivery.
DUE = text("""
    WITH RECURSIVE waiting AS (
        (SELECT endpoint_id FROM webhook_deliveries WHERE state = 'pending' ORDER BY endpoint_id LIMIT 1)
        UNION ALL
        SELECT (SELECT next.endpoint_id FROM webhook_deliveries AS next
            WHERE state = 'pending' AND next.endpoint_id > waiting.endpoint_id ORDER BY next.endpoint_id LIMIT 1)
        FROM waiting WHERE waiting.endpoint_id IS NOT NULL),
    held AS MATERIALIZED (
        SELECT tenant_id, suspect, count(*) AS threads
        FROM unnest(CAST(:busy AS uuid[]), CAST(:busy_suspects AS bool[])) AS talking (id, suspect)
        JOIN webhook_endpoints USING (id) GROUP BY tenant_id, suspect),
    open AS (
        SELECT endpoint.id, failures > 0 AS suspect, coalesce(threads, 0)
            + row_number() OVER (PARTITION BY endpoint.tenant_id, failures > 0 ORDER BY random()) AS turn
        FROM waiting
        JOIN webhook_endpoints AS endpoint ON endpoint.id = waiting.endpoint_id
        JOIN tenants ON tenants.id = endpoint.tenant_id
        LEFT JOIN held ON held.tenant_id = endpoint.tenant_id AND held.suspect = (failures > 0)
        WHERE disabled_at IS NULL AND suspended_at IS NULL AND endpoint.id <> ALL (CAST(:busy AS uuid[]))
            AND EXISTS (SELECT FROM webhook_deliveries WHERE endpoint_id = endpoint.id AND state = 'pending'
                AND due_at <= clock_timestamp())),
    chosen AS (
        (SELECT * FROM open WHERE NOT suspect AND turn <= :share ORDER BY turn, random() LIMIT :endpoints)
        UNION ALL
        (SELECT * FROM open WHERE suspect AND turn <= :suspects_share ORDER BY turn, random() LIMIT :suspects))
    SELECT due.id FROM chosen CROSS JOIN LATERAL (
        SELECT id FROM webhook_deliveries WHERE endpoint_id = chosen.id AND state = 'pending'
            AND due_at <= clock_timestamp() ORDER BY due_at LIMIT CASE WHEN suspect THEN 1 ELSE :each END) AS due
""")
# Whoever was slower than the lease has been overtaken: that attempt is in the log already.
WRITE = text("""
    WITH outcome AS MATERIALIZED (
        SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:attempts AS int[]), CAST(:states AS text[]),
            CAST(:rungs AS int[]), CAST(:waits AS float8[]), CAST(:statuses AS int[]), CAST(:errors AS text[]),
            CAST(:seconds AS float8[])) AS outcome (id, attempts, state, rung, wait, status, error, seconds)),
    mine AS (
        UPDATE webhook_deliveries AS delivery SET attempts = delivery.attempts + 1, state = outcome.state,
            rung = outcome.rung, due_at = clock_timestamp() + make_interval(secs => outcome.wait),
            delivered_at = CASE WHEN outcome.state = 'delivered' THEN clock_timestamp() END
        FROM outcome WHERE delivery.id = outcome.id AND delivery.attempts = outcome.attempts
        RETURNING delivery.id, delivery.tenant_id)
    INSERT INTO webhook_attempts (delivery_id, number, tenant_id, status, error, seconds)
    SELECT id, outcome.attempts + 1, tenant_id, status, error, seconds FROM mine JOIN outcome USING (id)
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


@dataclass(frozen=True)
class Room:
    """Endpoints that may be talked to at once: now, and by one tenant at most."""

    free: int
    share: int


def take(
    session: Session, *, healthy: Room, suspects: Room, each: int, busy: Mapping[UUID, bool]
) -> dict[UUID, list[Due]]:
    """Take what is due, `each` of an endpoint at most; by endpoint.

    `suspects`: room for endpoints that have failed lately. `busy`: those that are talked to, and whether they are
    such.
    """
    asked = {
        "endpoints": healthy.free,
        "share": healthy.share,
        "suspects": suspects.free,
        "suspects_share": suspects.share,
        "each": each,
        "busy": list(busy),
        "busy_suspects": list(busy.values()),
    }
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
    """Write what attempts came to, in their order: the log, when the next is due, how their endpoints stand."""
    if not outcomes:
        return
    moment = now(session)
    after = [_next(outcome) for outcome in outcomes]
    session.execute(WRITE, {
        "ids": [outcome.due.id for outcome in outcomes],
        "attempts": [outcome.due.attempts for outcome in outcomes],
        "states": [step.state.value for step in after],
        "rungs": [step.rung for step in after],
        "waits": [step.wait for step in after],
        "statuses": [outcome.status for outcome in outcomes],
        "errors": [outcome.error for outcome in outcomes],
        "seconds": [outcome.seconds for outcome in outcomes],
    })  # fmt: skip
    for endpoint, its in _by_endpoint(outcomes).items():
        session.execute(update(Endpoint).where(Endpoint.id == endpoint).values(**_standing(its, moment)))


def give_back(session: Session, untried: Sequence[Due]) -> None:
    """Make deliveries due again that were taken and not attempted."""
    waiting = Delivery.id.in_([due.id for due in untried]), Delivery.state == DeliveryState.PENDING
    if untried:
        session.execute(update(Delivery).where(*waiting).values(due_at=now(session)))


@dataclass(frozen=True)
class _Next:
    """What becomes of a delivery; `wait`: seconds until it is due again."""

    state: DeliveryState
    rung: int
    wait: float = 0.0


def _next(outcome: Outcome) -> _Next:
    rung = outcome.due.rung
    if outcome.delivered:
        return _Next(DeliveryState.DELIVERED, rung)
    if outcome.status == GONE or rung >= len(LADDER):
        return _Next(DeliveryState.FAILED, rung)
    return _Next(DeliveryState.PENDING, rung + 1, LADDER[rung])


def _by_endpoint(outcomes: Sequence[Outcome]) -> dict[UUID, list[Outcome]]:
    found: dict[UUID, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        found[outcome.due.endpoint.id].append(outcome)
    return dict(sorted(found.items()))


def _standing(outcomes: Sequence[Outcome], moment: Any) -> dict[str, Any]:
    """Return how an endpoint stands after its outcomes: failures since the last success."""
    failed = list(takewhile(lambda outcome: not outcome.delivered, reversed(outcomes)))
    known = len(failed) < len(outcomes)  # a success among them
    standing: dict[str, Any] = {"failures": len(failed) if known else Endpoint.failures + len(failed)}
    if any(outcome.status == GONE for outcome in outcomes):
        standing |= {"disabled_at": moment, "disabled_why": "It answered 410 Gone."}
    return standing


def prune(session: Session, days: int) -> int:
    """Delete events older than so many days, with their deliveries, delivered or not."""
    old = select(Event.id).where(Event.created_at < now(session) - timedelta(days=days)).limit(PRUNED)
    return len(session.scalars(delete(Event).where(Event.id.in_(old)).returning(Event.id)).all())
