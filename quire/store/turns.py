"""What a worker asks to know whether its books are to give way: which lanes wait, and how its own stand."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from quire.fairness import Waiting

# In the order in which a claim would serve them.
WAITING = text("""
    SELECT lanes.tenant_id, virtual_time, (
        SELECT count(*) FROM (
            SELECT FROM jobs WHERE jobs.model = lanes.model AND jobs.tenant_id = lanes.tenant_id
                AND state = 'queued' AND hold = 0
            LIMIT least(:most, coalesce(max_running, 2147483647) - running)) AS first) AS jobs
    FROM lanes JOIN tenants ON tenants.id = lanes.tenant_id
    WHERE lanes.model = :model AND ready AND running < coalesce(max_running, 2147483647)
        AND NOT paused AND suspended_at IS NULL
    ORDER BY virtual_time LIMIT :most
""")
OWN = text("SELECT tenant_id, virtual_time FROM lanes WHERE model = :model AND tenant_id = ANY (:tenants)")
OF_JOBS = text("SELECT id, model, tenant_id, attempts FROM jobs WHERE id = ANY (CAST(:jobs AS uuid[]))")


def waiting(session: Session, model: str, most: int) -> list[Waiting]:
    """Return the lanes that wait, with no more than `most` jobs of each."""
    rows = session.execute(WAITING, {"model": model, "most": most})
    return [Waiting(row.tenant_id, row.virtual_time, row.jobs) for row in rows if row.jobs]


def virtual_times(session: Session, model: str, tenants: Collection[UUID]) -> dict[UUID, float]:
    rows = session.execute(OWN, {"model": model, "tenants": list(tenants)})
    return {row.tenant_id: row.virtual_time for row in rows}
