"""Firing: thousands of schedules that are due in the same minute, and how late each was."""

import time
from datetime import UTC, datetime, timedelta

import psycopg

from bench.report import Figure
from bench.system import System

# Their batches are not what is measured: the tenant is suspended, so that none is made.
ADD = """
    INSERT INTO schedules (id, tenant_id, name, body, kind, expression, zone, starts_at, catch_up, catch_up_most,
        overlap, jitter_seconds, publish_by, next_at, fire_at)
    SELECT gen_random_uuid(), %(tenant)s, 'bench', '', 'cron', %(cron)s, 'Europe/Paris', now(), 'once', 1,
        'queue', 0, false, %(moment)s, %(moment)s
    FROM generate_series(1, %(count)s)
"""
LATE = """
    SELECT count(*), percentile_cont(ARRAY[0.5, 0.99, 1]) WITHIN GROUP (
        ORDER BY extract(epoch FROM occurrences.fired_at - moment))
    FROM occurrences JOIN schedules ON schedules.id = schedule_id
    WHERE name = 'bench' AND moment = %(moment)s
"""
PATIENCE_SECONDS = 120


def firing(system: System, count: int) -> list[Figure]:
    """Fire so many schedules."""
    with system.client("bench-firing"):
        pass
    moment = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=2)
    with psycopg.connect(system.database_url, autocommit=True) as database:
        suspend = "UPDATE tenants SET suspended_at = now() WHERE name = 'bench-firing' RETURNING id"
        row = database.execute(suspend).fetchone()
        cron = f"{moment.minute} * * * *"
        database.execute(ADD, {"tenant": row and row[0], "cron": cron, "moment": moment, "count": count})
        deadline = time.monotonic() + PATIENCE_SECONDS + 120
        fired, late = 0, [0.0, 0.0, 0.0]
        while fired < count and time.monotonic() < deadline:
            time.sleep(1)
            found = database.execute(LATE, {"moment": moment}).fetchone()
            fired, late = (int(found[0]), found[1] or late) if found else (0, late)
        database.execute("DELETE FROM schedules WHERE name = 'bench'")
    return [
        Figure("firing_schedules", fired, "schedules"),
        Figure("firing_rate", fired / late[2] if late[2] else 0.0, "firings/s"),
        Figure("firing_late_p50", late[0], "s"),
        Figure("firing_late_p99", late[1], "s"),
        Figure("firing_late_max", late[2], "s"),
    ]
