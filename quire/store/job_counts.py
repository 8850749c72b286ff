"""How many jobs wait, and where one stands among them."""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from quire.store.job import Job

AHEAD = text("""
    SELECT count(*) FROM (
        SELECT FROM jobs WHERE model = :model AND tenant_id = :tenant AND state = 'queued' AND hold = 0
            AND (priority > :priority OR (priority = :priority AND seq < :seq))
        LIMIT :limit) AS ahead
""")
QUEUED = text("""
    SELECT count(*) FROM (
        SELECT FROM jobs WHERE tenant_id = :tenant AND state = 'queued' LIMIT :limit) AS queued
""")
# A suspended tenant's jobs are claimed by nobody: tokens for them would wake slots again and again.
RUNNABLE = text("""
    SELECT model, count(*) AS jobs FROM jobs WHERE state = 'queued' AND hold = 0
        AND tenant_id NOT IN (SELECT id FROM tenants WHERE suspended_at IS NOT NULL) GROUP BY model
""")
RUNNING = text("""
    SELECT workers.model, greatest(sum(workers.slots - busy.jobs), 0)
    FROM workers CROSS JOIN LATERAL (
        SELECT count(*) AS jobs FROM jobs WHERE jobs.worker_id = workers.id AND jobs.state = 'running') AS busy
    WHERE workers.lease_until > clock_timestamp() AND NOT workers.draining GROUP BY workers.model
""")


SERIALISE = text("SELECT pg_advisory_xact_lock(44, hashtext(CAST(:tenant AS text)))")


def serialise_submissions(session: Session, tenant_id: UUID) -> None:
    """Wait until no other submission of this tenant that did the same is under way."""
    session.execute(SERIALISE, {"tenant": tenant_id})


def position(session: Session, job: Job, limit: int = 100_000) -> int:
    """Return 1 for the next job of its lane, and so on; counted no further than `limit`."""
    where = {"model": job.model, "tenant": job.tenant_id, "priority": job.priority, "seq": job.seq}
    return 1 + int(session.scalar(AHEAD, where | {"limit": limit}) or 0)


def queued_of(session: Session, tenant_id: UUID, limit: int) -> int:
    """How many jobs the tenant has waiting, held ones too; counted no further than `limit`."""
    return int(session.scalar(QUEUED, {"tenant": tenant_id, "limit": limit}) or 0)


def runnable_by_model(session: Session) -> dict[str, int]:
    return {row.model: row.jobs for row in session.execute(RUNNABLE)}


def free_slots_by_model(session: Session) -> dict[str, int]:
    return {model: int(free) for model, free in session.execute(RUNNING)}
