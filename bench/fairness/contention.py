"""Claims under contention, without an engine: 8 workers of 64 slots and three connections each, one full queue.

Once all jobs are one tenant's, once they are those of two equal tenants. A job takes no time, so nothing but the
queue is measured: each is claimed, and its outcome committed, through `quire.jobs`.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from itertools import groupby
from statistics import median
from typing import Any

import psycopg

from bench.engine.driver import say
from bench.fairness.bare import ESTIMATE, MODEL, Bare, bare
from bench.fairness.figures import Figure, at_least, at_most, percentile
from bench.fairness.options import Options
from quire import testing
from quire.settings import REPOSITORY

WORKERS, SLOTS = 8, 64
HOT, EQUAL = "hot", "equal"
LANES = {HOT: 1, EQUAL: 2}
RATE, LONGEST_RUN, HEARTBEAT_MS = 5_000, 4, 200
MILLISECONDS = 1_000

Seen = Mapping[str, Any]


def measure(options: Options) -> list[Figure]:
    figures: list[Figure] = []
    for name, lanes in LANES.items():
        with bare(name) as place:
            figures += _measure(options, place, f"contention_{name}", lanes)
    return figures


def _measure(options: Options, place: Bare, name: str, lanes: int) -> list[Figure]:
    tenants = place.tenants(lanes)
    place.fill(tenants, options.contention_jobs)
    place.tidy()
    seen = _contend(place)
    beats = [MILLISECONDS * beat for one in seen for beat in one["heartbeat_seconds"]]
    claims = [MILLISECONDS * claim for one in seen for claim in one["claim_seconds"]]
    sizes = [len(claim) for one in seen for claim in one["claims"]]
    commits = [MILLISECONDS * commit for one in seen for commit in one["commit_seconds"]]
    say(f"{name}: {len(claims)} claims of {median(sizes):.0f} jobs, {len(beats)} heartbeats")
    figures = [
        at_least(f"{name}_jobs", _rate(place), "jobs/s", RATE),
        at_most(f"{name}_heartbeat_p99", percentile(beats, 0.99), "ms", HEARTBEAT_MS),
        at_most(f"{name}_deadlocks", _deadlocks(place), "", 0),
        at_most(f"{name}_stranded", _left(place), "jobs", 0),
        Figure(f"{name}_claim_p50", median(claims), "ms"),
        Figure(f"{name}_claim_p99", percentile(claims, 0.99), "ms"),
        Figure(f"{name}_claim_size", median(sizes), "jobs"),
        Figure(f"{name}_commit_p50", median(commits), "ms"),
    ]
    if lanes > 1:
        figures.append(at_most(f"{name}_longest_run", _longest_run(place, seen), "jobs", LONGEST_RUN))
    return figures


def _contend(place: Bare) -> list[Seen]:
    """Let the workers loose together; returns what each saw."""
    with place.database.service() as session:
        workers = [testing.add_worker(session, slots=SLOTS) for _ in range(WORKERS)]
    shape = (MODEL, str(SLOTS), str(ESTIMATE))
    processes = [
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "bench.fairness.contender",
                testing.sqlalchemy_url(place.url),
                str(worker),
                *shape,
            ],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for worker in workers
    ]
    try:
        for process in processes:
            if process.stdout is None or process.stdout.readline() != "ready\n":
                raise RuntimeError("a worker did not start")
        for process in processes:
            if process.stdin is not None:
                process.stdin.write("go\n")
                process.stdin.flush()
        return [json.loads(process.communicate()[0]) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _rate(place: Bare) -> float:
    """Jobs a second, from the first claim to the last commit."""
    return place.number(
        "SELECT count(*) / extract(epoch FROM max(finished_at) - min(started_at)) FROM jobs "
        "WHERE state = 'succeeded'"
    )


def _deadlocks(place: Bare) -> float:
    return place.number("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")


def _left(place: Bare) -> float:
    """Jobs that did not end, and lanes whose counters do not say so."""
    live = place.number("SELECT count(*) FROM jobs WHERE state IN ('queued', 'running')")
    return live + place.number("SELECT count(*) FROM lanes WHERE running <> 0 OR outstanding <> 0")


def _longest_run(place: Bare, seen: Sequence[Seen]) -> int:
    """Return the most jobs in a row of one lane, in the order of claims, while both had jobs waiting."""
    with psycopg.connect(place.url) as connection:
        rows = connection.execute("SELECT replace(id::text, '-', ''), tenant_id, started_at FROM jobs").fetchall()
    lane_of = {job: lane for job, lane, _ in rows}
    started = {job: at for job, _, at in rows}
    # Claims are one after the other, and each tells its jobs in their turn.
    claims = sorted(
        (claim for one in seen for claim in one["claims"]), key=lambda claim: min(map(started.__getitem__, claim))
    )
    order = [lane_of[job] for claim in claims for job in claim]
    both = min(len(order) - order[::-1].index(lane) for lane in set(order))  # then one of them was empty
    return max(len(list(run)) for _, run in groupby(order[:both]))
