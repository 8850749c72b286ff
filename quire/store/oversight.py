"""What the operator is shown: workers, and jobs that are stuck. Read by pages, and bounded by slots and lanes."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

NOWHERE = UUID(int=0)  # before every id


class Trouble(StrEnum):
    """Why a job counts as stuck."""

    CRASHED = "crashed"  # it has lost a worker at least once
    ORPHANED = "orphaned"  # it runs on a worker that has no live lease
    OVERLOOKED = "overlooked"  # the first of its lane, while slots were free for long and no job started
    SILENT = "silent"  # it runs, and has written nothing for long
    STRANDED = "stranded"  # it may run, but its lane is not marked as ready


WORKERS = text("""
    SELECT workers.id, model, host, pid, slots, busy.jobs AS running, draining, numerics, started_at,
        CAST(extract(epoch FROM lease_until - clock_timestamp()) AS float8) AS lease_left
    FROM workers CROSS JOIN LATERAL (
        SELECT count(*) AS jobs FROM jobs WHERE jobs.worker_id = workers.id AND jobs.state = 'running') AS busy
    WHERE workers.id > :after ORDER BY workers.id LIMIT :most
""")
# When a running job was claimed is not kept. It was after its worker started, and after what it last wrote.
STUCK = text("""
    WITH running AS MATERIALIZED (
        SELECT jobs.id, jobs.started_at, workers.started_at AS worker_started_at,
            coalesce(workers.lease_until > clock_timestamp(), false) AS leased
        FROM jobs LEFT JOIN workers ON workers.id = jobs.worker_id WHERE jobs.state = 'running'),
    quiet AS MATERIALIZED (
        SELECT running.id, leased, greatest(running.started_at, worker_started_at, said.created_at) AS since
        FROM running LEFT JOIN LATERAL (
            SELECT created_at FROM chunks WHERE job_id = running.id
            ORDER BY revision DESC, "offset" DESC LIMIT 1) AS said ON true),
    heads AS MATERIALIZED (
        SELECT head.id, head.created_at, lanes.model, lanes.tenant_id, lanes.ready, lanes.running
        FROM lanes CROSS JOIN LATERAL (
            SELECT id, created_at FROM jobs
            WHERE jobs.model = lanes.model AND jobs.tenant_id = lanes.tenant_id AND state = 'queued' AND hold = 0
            ORDER BY priority DESC, seq LIMIT 1) AS head),
    stuck AS (
        SELECT id, 'orphaned' AS why, since FROM quiet WHERE NOT leased
        UNION ALL
        SELECT id, 'silent', since FROM quiet
            WHERE leased AND since < clock_timestamp() - make_interval(secs => :seconds)
        UNION ALL
        SELECT id, 'stranded', created_at FROM heads WHERE NOT ready
        UNION ALL
        SELECT heads.id, 'overlooked', greatest(heads.created_at, idle_since)
            FROM heads JOIN tenants ON tenants.id = heads.tenant_id JOIN forecasts ON forecasts.model = heads.model
            WHERE ready AND NOT paused AND heads.running < coalesce(max_running, 2147483647)
                AND greatest(heads.created_at, idle_since) < clock_timestamp() - make_interval(secs => :seconds)
                AND idle_since IS NOT NULL
        UNION ALL
        (SELECT id, 'crashed', created_at FROM jobs
            WHERE state IN ('queued', 'running') AND attempts > 0 AND id > :after ORDER BY id LIMIT :most))
    SELECT jobs.id, jobs.tenant_id, jobs.model, jobs.state, jobs.attempts, jobs.worker_id,
        array_agg(stuck.why ORDER BY stuck.why) AS why, min(stuck.since) AS since
    FROM stuck JOIN jobs ON jobs.id = stuck.id
    WHERE stuck.id > :after GROUP BY jobs.id ORDER BY jobs.id LIMIT :most
""")


def workers(session: Session, *, after: UUID | None, limit: int) -> Sequence[Any]:
    """Return workers by the time they entered, those with a lapsed lease too."""
    return session.execute(WORKERS, {"after": after or NOWHERE, "most": limit}).all()


def stuck_jobs(session: Session, *, seconds: float, after: UUID | None, limit: int) -> Sequence[Any]:
    """Return stuck jobs, the oldest first, where `seconds` is what counts as long."""
    return session.execute(STUCK, {"seconds": seconds, "after": after or NOWHERE, "most": limit}).all()
