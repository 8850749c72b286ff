"""How many jobs wait, and how many slots are free."""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

QUEUED = text("""
    SELECT count(*) FROM (
        SELECT FROM jobs WHERE tenant_id = :tenant AND state = 'queued' LIMIT :limit) AS queued
""")
# Only as many are counted as could be used: a long queue costs no more than a short one. Lanes are asked, because
# a job of a lane that is paused, suspended or at its cap could not start.
STARTABLE = text("""
    SELECT count(*) FROM (
        SELECT FROM lanes JOIN tenants ON tenants.id = lanes.tenant_id CROSS JOIN LATERAL (
            SELECT FROM jobs
            WHERE jobs.model = :model AND jobs.tenant_id = lanes.tenant_id AND state = 'queued' AND hold = 0
            ORDER BY priority DESC, seq LIMIT least(coalesce(max_running, 2147483647) - running, :limit)) AS next
        WHERE lanes.model = :model AND ready AND running < coalesce(max_running, 2147483647) AND NOT paused
            AND suspended_at IS NULL
        LIMIT :limit) AS startable
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


def queued_of(session: Session, tenant_id: UUID, limit: int) -> int:
    """How many jobs the tenant has waiting, held ones too; counted no further than `limit`."""
    return int(session.scalar(QUEUED, {"tenant": tenant_id, "limit": limit}) or 0)


def startable(session: Session, model: str, limit: int) -> int:
    """How many jobs of a model could start now if there were slots for them; counted no further than `limit`."""
    return int(session.scalar(STARTABLE, {"model": model, "limit": limit}) or 0)


def free_slots_by_model(session: Session) -> dict[str, int]:
    return {model: int(free) for model, free in session.execute(RUNNING)}
