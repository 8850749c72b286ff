"""How well the waiting time is foretold: `queue.eta` of queued jobs, beside when they really started.

Several tenants hand in jobs of mixed lengths in bursts, the next one when no more than a random number of jobs is
left; each job is looked at once, right after it was handed in. The system learns from how it was wrong, so the
first jobs, of which it knew nothing, are counted apart.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import Any

import psycopg

from bench.engine.driver import say
from bench.fairness.figures import Figure
from bench.fairness.live import PROMPT, Customer, Live, live, wait_until
from bench.fairness.options import Options
from bench.fairness.talking import Talker

WEIGHTS = (1, 1, 2, 4)
LEARNED, JOBS = 300, 1200
BURST = 60
LEFT = 200  # jobs at most when the next burst comes
SHORTEST, LONGEST = 16, 400  # tokens

STARTED = "SELECT extract(epoch FROM started_at)::float8 FROM jobs WHERE id = %s"
LIVE = "SELECT count(*) FROM jobs WHERE state IN ('queued', 'running')"


@dataclass(frozen=True)
class Foretold:
    """What was said of a job's start, and the start itself, in seconds after it was asked."""

    number: int
    p50: float
    p90: float
    started: float


def measure(options: Options) -> list[Figure]:
    with (
        live(options, "eta") as system,
        psycopg.connect(system.system.database_url, autocommit=True) as connection,
    ):
        customers = [
            system.customers(1, f"eta-{number}", weight=weight)[0] for number, weight in enumerate(WEIGHTS)
        ]
        asked = _ask(system, customers, connection)
        _until_left(connection, 0)
        foretold = [
            Foretold(number, p50 - moment, p90 - moment, _started(connection, job) - moment)
            for number, job, moment, p50, p90 in asked
        ]
    if not foretold:
        say("jobs do not tell an ETA: not measured")
        return []
    return _figures(foretold)


def _ask(
    system: Live, customers: Sequence[Customer], connection: "psycopg.Connection[Any]"
) -> list[tuple[int, str, float, float, float]]:
    """Hand in all jobs; returns number, id, moment of the look, and what was foretold, of those with an ETA."""
    draw = random.Random("eta")
    talkers = [Talker(system.system.url, customer.key) for customer in customers]
    found = []
    for number in range(JOBS):
        if number and number % BURST == 0:
            _until_left(connection, draw.randint(0, LEFT))
        talker, tokens = draw.choice(talkers), draw.randint(SHORTEST, LONGEST)
        body = {"prompt": PROMPT, "max_tokens": tokens, "min_tokens": tokens, "seed": number}
        job = talker.asked("POST", "/v1/jobs", 202, body)["id"]
        shown = talker.asked("GET", f"/v1/jobs/{job}", 200)
        moment = datetime.now(UTC).timestamp()
        eta: Mapping[str, Any] | None = shown["queue"].get("eta")
        if eta and eta.get("p50") and eta.get("p90"):
            found.append((number, job.removeprefix("job_"), moment, _seconds(eta["p50"]), _seconds(eta["p90"])))
    for talker in talkers:
        talker.close()
    return found


def _until_left(connection: "psycopg.Connection[Any]", jobs: int) -> None:
    def few() -> bool:
        row = connection.execute(LIVE).fetchone()
        return row is not None and row[0] <= jobs

    wait_until(few, "the jobs do not end")


def _figures(foretold: Sequence[Foretold]) -> list[Figure]:
    waited = [one for one in foretold if one.started > 0]
    first = [one for one in waited if one.number < LEARNED]
    later = [one for one in waited if one.number >= LEARNED]
    widths = [(one.p90 - one.p50) / one.p50 for one in later if one.p50 > 0]
    errors = [abs(one.p50 - one.started) / one.started for one in later]
    return [
        Figure("eta_jobs", len(later), f"of {JOBS - LEARNED} jobs that waited and had an ETA"),
        Figure("eta_wait_p50", median(one.started for one in later), "s"),
        Figure("eta_p50_held", _held([one.started <= one.p50 for one in later]), "of the jobs"),
        Figure("eta_p90_held", _held([one.started <= one.p90 for one in later]), "of the jobs"),
        Figure("eta_first_p90_held", _held([one.started <= one.p90 for one in first]), f"of the first {LEARNED}"),
        Figure("eta_width", median(widths) if widths else 0.0, "of the wait foretold, from p50 to p90"),
        Figure("eta_error", median(errors), "of the wait, from p50 to the start"),
    ]


def _held(outcomes: Sequence[bool]) -> float:
    return sum(outcomes) / len(outcomes)


def _started(connection: "psycopg.Connection[Any]", job: str) -> float:
    row = connection.execute(STARTED, [job]).fetchone()
    if row is None or row[0] is None:
        raise RuntimeError(f"the job {job} never started")
    return float(row[0])


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()
