"""Running batches: from the last item done to the batch completed, and what others feel of a large one."""

import time
from pathlib import Path
from statistics import median
from uuid import UUID

import psycopg

from bench.batches.taking import write_items
from bench.report import Figure
from bench.system import System
from quire_client import Quire

LAG = """
    SELECT extract(epoch FROM batches.finished_at - (
        SELECT max(finished_at) FROM jobs WHERE jobs.batch_id = batches.id))::float8
    FROM batches WHERE batches.id = %s
"""
PAUSE_SECONDS = 0.5


def completion(system: System, folder: Path, runs: int) -> list[Figure]:
    """Run small batches to their ends."""
    path = folder / "few.jsonl"
    write_items(path, 20)
    lags = []
    with system.client("bench-completion") as quire, psycopg.connect(system.database_url) as database:
        for _ in range(runs):
            batch = quire.batches.wait(quire.batches.submit(file=path).id, 600)
            row = database.execute(LAG, [UUID(hex=batch.id.removeprefix("batch_"))]).fetchone()
            database.commit()
            lags.append(float(row[0]) if row else 0.0)
    return [Figure("completion_p50", median(lags), "s"), Figure("completion_max", max(lags), "s")]


def neighbours(system: System, folder: Path, count: int, probes: int) -> list[Figure]:
    """Have one tenant's short jobs run alone, and beside a large batch of another's."""
    path = folder / "flood.jsonl"
    write_items(path, count)
    with system.client("bench-flood") as flood, system.client("bench-neighbour") as other:
        alone = _probe(other, probes)
        batch = flood.batches.submit(file=path)
        time.sleep(5)
        beside = _probe(other, probes)
        done = flood.batches.cancel(batch.id)
    return [
        Figure("neighbour_alone_p50", median(alone), "s"),
        Figure("neighbour_beside_p50", median(beside), "s"),
        Figure("neighbour_beside_max", max(beside), "s"),
        Figure("neighbour_batch_done", done.counts.succeeded, "items"),
    ]


def _probe(quire: Quire, probes: int) -> list[float]:
    """Return how long short jobs waited before they started."""
    waits = []
    for _ in range(probes):
        job = quire.jobs.wait(quire.jobs.submit("Once", max_tokens=4).id, 120)
        if job.started_at and job.created_at:
            waits.append((job.started_at - job.created_at).total_seconds())
        time.sleep(PAUSE_SECONDS)
    return waits
