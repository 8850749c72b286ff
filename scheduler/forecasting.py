"""Measures how models are served and what waits in their lanes, so that a waiting job can be explained.

A look at a job then reads a few rows, however many jobs and lanes there are. All that is read here is bounded, and
the more a measurement costs the rarer it is.
"""

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from quire import eta, standing
from quire.calibration import kind
from quire.database import Database
from quire.eta import Backlog, Done
from quire.store import Forecast, Guess, Job, forecast, waiting
from quire.store.base import now

EVERY = 1.0  # seconds
REST = 20  # a measurement that took t seconds is followed by at least REST * t without one
LAG = 1.0  # seconds until all that finished by a moment is surely committed
WINDOW = 60.0  # seconds that are looked back at most
MOST_DONE = 5_000  # finished jobs read at once
MEMORY = 200.0  # jobs that the speed and the ratio rest on
KEEP = 0.9  # of what is known of a lane's jobs, with each measurement that has news
SMOOTH = 0.1  # weight of the newest look at how many slots are busy
LEAST_USE = 0.05

MOST_LANES = 500  # counted at once,
BUDGET = 25_000  # with so many jobs together,
DEEPEST = 100_000  # or a single lane with so many
FRESH_SECONDS = 0.9  # that the count of a lane is good for,
JOBS_A_SECOND = 1_000  # and a second more for each so many jobs of it

DRAWN = 4  # predictions made at once, to be compared with what comes
PENDING = 50  # of each kind


def measure(database: Database) -> int:
    """Measure the models that are due; returns how many predictions have come true or failed to."""
    with database.service() as session:
        return sum(measure_one(session, row) for row in forecast.take_due(session))


def measure_one(session: Session, row: Forecast) -> int:
    """Measure a model whose forecast is locked; returns how many predictions were judged."""
    began, moment = time.monotonic(), now(session)
    # Before anything is measured anew: who looks between two measurements sees what is as old, and errs as much.
    _predict(session, row)
    last_start = _read_done(session, row, moment)
    _count_lanes(session, row.model)
    ready = session.execute(forecast.READY, {"model": row.model}).all()
    _look_at_slots(session, row, ready, moment, last_start)
    row.curve = eta.curve([_backlog(lane, row) for lane in ready])
    row.measured_at = moment
    judged = _judge(session, row)
    row.due_at = moment + timedelta(seconds=max(EVERY, REST * (time.monotonic() - began)))
    return judged


def _read_done(session: Session, row: Forecast, moment: datetime) -> datetime | None:
    """Add what has finished to the sums; returns when the last of it started."""
    until = moment - timedelta(seconds=LAG)
    since = until - timedelta(seconds=WINDOW)
    asked = {"model": row.model, "since": max(row.done_until or since, since), "until": until, "most": MOST_DONE}
    done = session.execute(forecast.DONE, asked).all()
    new = Done(*(float(sum(getattr(lane, name) for lane in done)) for name in Done.__dataclass_fields__))
    row.done, row.done_until = row.done.add(new, MEMORY), until
    forecast.keep_done(session, row.model, done, KEEP)
    return max((lane.last_start for lane in done), default=None)


def _count_lanes(session: Session, model: str) -> None:
    """Count what waits, in the lanes whose counts are the oldest, as far as the budget goes."""
    session.execute(forecast.EMPTIED, {"model": model})
    asked = {"seconds": FRESH_SECONDS, "jobs_a_second": JOBS_A_SECOND, "most": MOST_LANES}
    depths = affordable(session.execute(forecast.STALE, {"model": model} | asked).all())
    wanted = {"tenants": list(depths), "mosts": list(depths.values())}
    counted = session.execute(forecast.COUNT, {"model": model} | wanted).all() if depths else []
    forecast.keep_counts(session, model, [
        (lane.tenant_id, *whole_lane(lane), lane.first_seq, lane.last_seq or 0) for lane in counted
    ])  # fmt: skip


def affordable(stale: Iterable[tuple[UUID, int]]) -> dict[UUID, int]:
    """Choose how deep to count lanes, given what each had at its last count; at least one is chosen."""
    chosen: dict[UUID, int] = {}
    left = BUDGET
    for tenant, jobs in stale:
        depth = min(4 * jobs + 50, DEEPEST)
        if chosen and depth > left:
            break
        chosen[tenant] = depth
        left -= depth
    return chosen


def whole_lane(counted: Any) -> tuple[int, int]:
    """Return jobs and work of a lane; where the count stopped short, as many to the age as in the part counted."""
    jobs, work = int(counted.jobs), int(counted.work)
    reached = counted.reached_seq - counted.first_seq
    if jobs < counted.most or reached <= 0:
        return jobs, work
    times = max(1.0, (counted.last_seq - counted.first_seq) / reached)
    return int(jobs * times), int(work * times)


def _look_at_slots(
    session: Session, row: Forecast, ready: Sequence[Any], moment: datetime, last_start: datetime | None
) -> None:
    """Take down how many slots are busy, and since when some are free although jobs wait."""
    done = row.done
    asked = {"model": row.model, "ratio": done.ratio, "speed": done.speed}
    seen = session.execute(forecast.RUNNING, asked).one()
    row.slots, row.running, row.unfinished = int(seen.slots), int(seen.running), float(seen.unfinished)
    wanted = sum(lane.jobs for lane in ready if lane.max_running is None or lane.running < lane.max_running)
    if wanted > row.slots > 0:  # fewer may have come just now, and the slots only be about to take them
        use = min(1.0, row.running / row.slots)
        row.utilisation = max(LEAST_USE, row.utilisation + SMOOTH * (use - row.utilisation))
    starts = [start for start in (last_start, seen.last_start) if start]
    idle = wanted > 0 and row.running < row.slots
    row.idle_since = max([row.idle_since or moment, *starts]) if idle else None


def _backlog(lane: Any, row: Forecast) -> Backlog:
    ratio = standing.lane_ratio(row, lane)
    return Backlog(
        virtual_time=eta.settled(lane.virtual_time, lane.outstanding, lane.weight, ratio),
        weight=lane.weight,
        work=lane.work * ratio,
        job=lane.work * ratio / lane.jobs if lane.jobs else 0.0,
        share=lane.max_running / row.slots if lane.max_running is not None and row.slots else None,
    )


def _judge(session: Session, row: Forecast) -> int:
    """Learn from predictions whose outcome is known: the job has started, or is later than its p90."""
    known, judged = list[UUID](), 0
    for guess in session.execute(forecast.OUTCOMES, {"model": row.model}):
        if guess.started_at is None and guess.waits and not guess.late:
            continue
        known.append(guess.job_id)
        if guess.started_at is not None or guess.waits:  # else it ended without a start, or is held
            judged += 1
            row.stretches = row.stretches.learn(
                guess.kind,
                within_p50=guess.started_at is not None and guess.started_at <= guess.p50,
                within_p90=guess.started_at is not None and guess.started_at <= guess.p90,
            )
    session.execute(forecast.FORGET, {"jobs": known})
    return judged


def _predict(session: Session, row: Forecast) -> None:
    """Predict the starts of a few jobs, as a look at them would."""
    asked = {"model": row.model, "lanes": DRAWN, "deep": waiting.EXACT}
    drawn = list(session.scalars(forecast.DRAW, asked))
    if not drawn:
        return
    known = session.execute(select(Guess.job_id, Guess.kind).where(Guess.model == row.model))
    pending: dict[UUID, int] = {guess.job_id: guess.kind for guess in known}
    of_kind = Counter(pending.values())
    fresh = [job for job in drawn if job not in pending]
    for job in session.scalars(select(Job).where(Job.id.in_(fresh), Job.started_at.is_(None))).all():
        view = waiting.view(session, job)
        seconds = standing.seconds_to_start(job, waiting.ahead_of(session, job), view)
        if seconds is None or of_kind[kind(seconds)] >= PENDING:
            continue
        of_kind[kind(seconds)] += 1
        start = row.stretches.start(seconds)
        p50, p90 = (view.now + timedelta(seconds=within) for within in (start.p50, start.p90))
        session.add(Guess(job_id=job.id, model=row.model, kind=kind(seconds), p50=p50, p90=p90))
