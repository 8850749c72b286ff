"""The statements that remove finished jobs, a bounded number at a time. Their ledger entries stay."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session

# now(), the start of the transaction: clock_timestamp() changes from row to row and could not use an index.
PAST_OWN_RETENTION = text("""
    SELECT id FROM jobs
    WHERE finished_at IS NOT NULL AND retention_hours IS NOT NULL
        AND (finished_at AT TIME ZONE 'UTC') + make_interval(hours => retention_hours) < now() AT TIME ZONE 'UTC'
    ORDER BY (finished_at AT TIME ZONE 'UTC') + make_interval(hours => retention_hours)
    LIMIT :limit FOR UPDATE SKIP LOCKED
""")
# The oldest of each tenant, by the retention of that tenant. Items go with their batch.
PAST_TENANTS_RETENTION = text("""
    SELECT id FROM jobs WHERE id IN (
        SELECT oldest.id FROM tenants CROSS JOIN LATERAL (
            SELECT id FROM jobs WHERE jobs.tenant_id = tenants.id AND batch_id IS NULL
                AND finished_at < now() - make_interval(days => coalesce(retention_days, CAST(:days AS int)))
            ORDER BY finished_at LIMIT :limit) AS oldest
        LIMIT :limit)
    ORDER BY id FOR UPDATE SKIP LOCKED
""")
OF_TENANT = text("SELECT id FROM jobs WHERE tenant_id = :tenant ORDER BY id LIMIT :limit FOR UPDATE")
DELETE_CHUNKS = text("""
    WITH gone AS (DELETE FROM chunks WHERE job_id = ANY (CAST(:jobs AS uuid[])) RETURNING 1)
    SELECT count(*) FROM gone
""")
# Their parts go with them.
DELETE_ARTIFACTS = text("""
    WITH gone AS (DELETE FROM artifacts WHERE job_id = ANY (CAST(:jobs AS uuid[])) RETURNING 1)
    SELECT count(*) FROM gone
""")
DELETE_JOBS = text("DELETE FROM jobs WHERE id = ANY (CAST(:jobs AS uuid[]))")
# What may be of any number, piece by piece before the tenant itself; deliveries and attempts go with their events.
ERASE_SOME = (
    text("""
        DELETE FROM idempotency_keys WHERE tenant_id = :tenant AND key IN (
            SELECT key FROM idempotency_keys WHERE tenant_id = :tenant LIMIT :limit) RETURNING 1
    """),
    text("""
        DELETE FROM webhook_events WHERE id IN (
            SELECT id FROM webhook_events WHERE tenant_id = :tenant LIMIT :limit) RETURNING 1
    """),
    text("""
        DELETE FROM occurrences WHERE (schedule_id, moment) IN (
            SELECT schedule_id, moment FROM schedules JOIN occurrences ON schedule_id = schedules.id
            WHERE schedules.tenant_id = :tenant LIMIT :limit) RETURNING 1
    """),
    text("""
        DELETE FROM schedule_versions WHERE (schedule_id, version) IN (
            SELECT schedule_id, schedule_versions.version
            FROM schedules JOIN schedule_versions ON schedule_id = schedules.id
            WHERE schedules.tenant_id = :tenant LIMIT :limit) RETURNING 1
    """),
)
# Those that schedules fired so long ago, and what schedules were until then. What waits for its batch stays.
OLD_OCCURRENCES = text("""
    DELETE FROM occurrences WHERE (schedule_id, moment) IN (
        SELECT schedule_id, moment FROM schedules CROSS JOIN LATERAL (
            SELECT schedule_id, moment FROM occurrences
            WHERE schedule_id = schedules.id AND state <> 'due' AND moment < now() - make_interval(days => :days)
            ORDER BY moment LIMIT :limit) AS old
        LIMIT :limit)
    RETURNING 1
""")
OLD_VERSIONS = text("""
    DELETE FROM schedule_versions WHERE (schedule_id, version) IN (
        SELECT old.schedule_id, old.version FROM schedule_versions AS old
        JOIN schedule_versions AS next ON next.schedule_id = old.schedule_id AND next.version = old.version + 1
        WHERE next.created_at < now() - make_interval(days => :days) LIMIT :limit)
    RETURNING 1
""")
# Last and together: a job that a late request has slipped in keeps its lane, and the whole is tried again.
DELETE_TENANT = (
    text("DELETE FROM lanes WHERE tenant_id = :tenant"),
    text("DELETE FROM schedules WHERE tenant_id = :tenant"),
    text("DELETE FROM api_keys WHERE tenant_id = :tenant"),
    text("DELETE FROM tenants WHERE id = :tenant"),
)


@dataclass(frozen=True)
class Removed:
    jobs: int
    chunks: int
    artifacts: int


def past_own_retention(session: Session, limit: int) -> Sequence[UUID]:
    """Lock finished jobs older than they asked to become."""
    return session.scalars(PAST_OWN_RETENTION, {"limit": limit}).all()


def past_tenants_retention(session: Session, days: int | None, limit: int) -> Sequence[UUID]:
    """Lock finished jobs older than their tenant keeps them; `days` is for tenants that do not say."""
    return session.scalars(PAST_TENANTS_RETENTION, {"days": days, "limit": limit}).all()


def of_tenant(session: Session, tenant_id: UUID, limit: int) -> Sequence[UUID]:
    """Lock some jobs of a tenant, whatever their state."""
    return session.scalars(OF_TENANT, {"tenant": tenant_id, "limit": limit}).all()


def remove(session: Session, jobs: Sequence[UUID]) -> Removed:
    """Remove locked jobs with their texts and artifacts."""
    if not jobs:
        return Removed(0, 0, 0)
    chunks = int(session.scalar(DELETE_CHUNKS, {"jobs": list(jobs)}) or 0)
    artifacts = int(session.scalar(DELETE_ARTIFACTS, {"jobs": list(jobs)}) or 0)
    session.execute(DELETE_JOBS, {"jobs": list(jobs)})
    return Removed(len(jobs), chunks, artifacts)


def remove_uncounted(session: Session, jobs: Sequence[UUID]) -> None:
    """Remove jobs that are over with their texts. Artifacts go by foreign keys: the API may not remove them."""
    if jobs:
        session.execute(DELETE_CHUNKS, {"jobs": list(jobs)})
        session.execute(DELETE_JOBS, {"jobs": list(jobs)})


def erase_some(session: Session, tenant_id: UUID, limit: int) -> int:
    """Remove some rows of a tenant beside its jobs, batches and files; returns how many, at last 0."""
    for statement in ERASE_SOME:
        if gone := _count(session, statement, {"tenant": tenant_id, "limit": limit}):
            return gone
    return 0


def old_schedules(session: Session, days: int, limit: int) -> int:
    """Remove some occurrences, and versions of schedules, of so many days ago; returns how many."""
    asked = {"days": days, "limit": limit}
    return _count(session, OLD_OCCURRENCES, asked) + _count(session, OLD_VERSIONS, asked)


def _count(session: Session, statement: TextClause, asked: dict[str, Any]) -> int:
    return len(session.execute(statement, asked).all())


def remove_tenant(session: Session, tenant_id: UUID) -> None:
    for statement in DELETE_TENANT:
        session.execute(statement, {"tenant": tenant_id})
