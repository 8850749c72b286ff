"""What is read to explain why one job waits. The cost of it is the same however much waits beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Float, bindparam, cast, extract, func, select, text
from sqlalchemy.orm import Session

from quire.store.forecast import Forecast, LaneForecast
from quire.store.job import Job
from quire.store.lane import Lane
from quire.store.tenant import Tenant
from quire.store.worker import Worker

EXACT = 1_000  # places of a lane that are counted one by one


@dataclass(frozen=True)
class Ahead:
    """What stands before a job in its lane, counted no further than EXACT."""

    jobs: int
    work: int  # by their estimates


@dataclass(frozen=True)
class View:
    """The rest of what there is to see: the same for all jobs of a lane."""

    now: datetime  # by Postgres
    tenant: Tenant
    lane: Lane
    counted: LaneForecast | None
    forecast: Forecast | None
    age: float | None  # of the forecast, in seconds
    live_slots: int
    live_running: int  # jobs on them


# Two ranges of one index. As one condition with OR, a job at the head would be looked for through all its lane.
AHEAD = text("""
    SELECT count(*) AS jobs, coalesce(sum(estimate), 0) AS work FROM (
        (SELECT estimate FROM jobs WHERE model = :model AND tenant_id = :tenant AND state = 'queued' AND hold = 0
            AND priority > :priority ORDER BY priority DESC, seq LIMIT :most)
        UNION ALL
        (SELECT estimate FROM jobs WHERE model = :model AND tenant_id = :tenant AND state = 'queued' AND hold = 0
            AND priority = :priority AND seq < :seq ORDER BY priority DESC, seq LIMIT :most)
        LIMIT :most) AS ahead
""")
HEADS = text("""
    SELECT head.model, count(*) AS jobs, array_agg(id) FILTER (WHERE id = ANY (CAST(:jobs AS uuid[]))) AS ids,
        array_agg(place) FILTER (WHERE id = ANY (CAST(:jobs AS uuid[]))) AS places
    FROM unnest(CAST(:models AS text[])) AS wanted (model) CROSS JOIN LATERAL (
        SELECT model, id, row_number() OVER (ORDER BY priority DESC, seq) AS place FROM (
            SELECT model, id, priority, seq FROM jobs
            WHERE jobs.model = wanted.model AND tenant_id = :tenant AND state = 'queued' AND hold = 0
            ORDER BY priority DESC, seq LIMIT :most) AS first_jobs) AS head
    GROUP BY head.model
""")

# Every submission reads this: built once, for that takes longer than to read it.
LIVE = select(func.coalesce(func.sum(Worker.slots), 0)).where(
    Worker.model == bindparam("model"), Worker.lease_until > func.clock_timestamp(), Worker.draining.is_(False)
)
VIEW = (
    select(
        Lane,
        Tenant,
        LaneForecast,
        Forecast,
        cast(extract("epoch", func.clock_timestamp() - Forecast.measured_at), Float),
        LIVE.scalar_subquery(),
        func.running_jobs(Lane.model),
        func.clock_timestamp(),
    )
    .join(Tenant, Tenant.id == Lane.tenant_id)
    .outerjoin(LaneForecast, (LaneForecast.model == Lane.model) & (LaneForecast.tenant_id == Lane.tenant_id))
    .outerjoin(Forecast, Forecast.model == Lane.model)
    .where(Lane.model == bindparam("model"), Lane.tenant_id == bindparam("tenant"))
)


def ahead_of(session: Session, job: Job) -> Ahead:
    where = {"model": job.model, "tenant": job.tenant_id, "priority": job.priority, "seq": job.seq}
    row = session.execute(AHEAD, where | {"most": EXACT}).one()
    return Ahead(int(row.jobs), int(row.work))


def places(session: Session, tenant_id: UUID, waiting: Sequence[Job]) -> dict[UUID, int | None]:
    """Return the places in their lanes of several jobs of one tenant, from 1; None for those behind EXACT.

    A job that has been claimed meanwhile is left out.
    """
    if not waiting:
        return {}
    asked = {"models": sorted({job.model for job in waiting}), "jobs": [job.id for job in waiting]}
    found: dict[UUID, int | None] = {}
    for row in session.execute(HEADS, asked | {"tenant": tenant_id, "most": EXACT}):
        if row.jobs >= EXACT:
            found |= {job.id: None for job in waiting if job.model == row.model}
        found |= dict(zip(row.ids or (), row.places or (), strict=True))
    return found


def view(session: Session, job: Job) -> View:
    """Read what there is to see from a job's lane."""
    row = session.execute(VIEW, {"model": job.model, "tenant": job.tenant_id}).one()
    lane, tenant, counted, forecast, seconds, slots, running, now = row
    return View(now, tenant, lane, counted, forecast, seconds, int(slots), int(running))
