"""What only the API reads: pages of lists, and the counts of the metrics."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Select, select, text
from sqlalchemy.orm import Session

from quire.ids import first_id_at
from quire.store import ApiKey, Job, Tenant
from quire.store.job import Kind, State

# Ids carry the time of the API that drew them, `created_at` is Postgres's: as far apart as clocks may be.
CLOCKS_APART = timedelta(hours=1)


@dataclass(frozen=True)
class JobFilter:
    """Which jobs of a tenant a list shows."""

    states: Sequence[State] = ()
    kind: Kind | None = None
    model: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None


def newest_jobs(
    session: Session, tenant_id: UUID, wanted: JobFilter, *, before: UUID | None, limit: int
) -> Sequence[Job]:
    """Return the tenant's jobs by falling id, older than the job `before` if given."""
    statement = select(Job).where(Job.tenant_id == tenant_id)
    if before is not None:
        statement = statement.where(Job.id < before)
    if wanted.states:
        statement = statement.where(Job.state.in_(wanted.states))
    if wanted.kind is not None:
        statement = statement.where(Job.kind == wanted.kind)
    if wanted.model is not None:
        statement = statement.where(Job.model == wanted.model)
    statement = _created(statement, wanted.created_after, wanted.created_before)
    return session.scalars(statement.order_by(Job.id.desc()).limit(limit)).all()


def _created(statement: Select[Job], after: datetime | None, before: datetime | None) -> Select[Job]:
    """Bound the time, and the id as well, which is what the index is on."""
    if after is not None:
        statement = statement.where(Job.created_at > after, Job.id >= first_id_at(after - CLOCKS_APART))
    if before is not None:
        statement = statement.where(Job.created_at < before, Job.id < first_id_at(before + CLOCKS_APART))
    return statement


def newest_tenants(session: Session, *, name: str | None, before: UUID | None, limit: int) -> Sequence[Tenant]:
    statement = select(Tenant).order_by(Tenant.id.desc()).limit(limit)
    if name is not None:
        statement = statement.where(Tenant.name == name)
    return session.scalars(statement if before is None else statement.where(Tenant.id < before)).all()


def newest_keys(session: Session, tenant_id: UUID, *, before: UUID | None, limit: int) -> Sequence[ApiKey]:
    statement = select(ApiKey).where(ApiKey.tenant_id == tenant_id).order_by(ApiKey.id.desc()).limit(limit)
    return session.scalars(statement if before is None else statement.where(ApiKey.id < before)).all()


# A log is looked for where there can be one; its last row is the first of its index read backwards.
STEPS = text("""
    SELECT asked.id, jobs.state NOT IN ('queued', 'running') AS over,
        jobs.state, jobs.hold, jobs.fence, last.revision, last."offset", last.tokens
    FROM unnest(CAST(:jobs AS uuid[])) AS asked (id) JOIN jobs ON jobs.id = asked.id
    LEFT JOIN LATERAL (
        SELECT revision, "offset", tokens FROM chunks
        WHERE jobs.started_at IS NOT NULL AND chunks.job_id = jobs.id
        ORDER BY revision DESC, "offset" DESC LIMIT 1) AS last ON true
""")


def steps(session: Session, job_ids: Sequence[UUID]) -> dict[UUID, tuple[bool, tuple[object, ...]]]:
    """Return of each of the jobs, of any tenants, whether it is over, and what differs once it has moved."""
    rows = session.execute(STEPS, {"jobs": list(job_ids)})
    return {job: (over, tuple(rest)) for job, over, *rest in rows}


# One statement for each, because each has its own partial index; all jobs there ever were are never read.
LIVE_COUNTS = {
    "queued": text("SELECT model, count(*) FROM jobs WHERE state = 'queued' AND hold = 0 GROUP BY model"),
    "held": text("SELECT model, count(*) FROM jobs WHERE state = 'queued' AND hold <> 0 GROUP BY model"),
    "running": text("SELECT model, count(*) FROM jobs WHERE state = 'running' GROUP BY model"),
}
HEAD = text("SELECT version_num FROM alembic_version")


def live_counts(session: Session) -> list[tuple[str, str, int]]:
    """Return (model, state, jobs) for the live states, with held jobs apart."""
    rows: list[tuple[str, str, Any]] = []
    for state, statement in LIVE_COUNTS.items():
        rows += [(model, state, count) for model, count in session.execute(statement)]
    return rows


def migration(session: Session) -> str | None:
    """Return the migration that the database is at."""
    return session.execute(HEAD).scalar_one_or_none()
