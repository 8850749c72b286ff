"""Where a queued job stands: its place, what keeps it from running, and when it will start."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from quire import eta
from quire.calibration import Start
from quire.eta import Service, Spot
from quire.store.forecast import Forecast, LaneForecast
from quire.store.job import Hold, Job, State
from quire.store.waiting import EXACT, Ahead, View

STALE_SECONDS = 30.0  # an older forecast says nothing: no scheduler has measured since
FARTHEST_SECONDS = 30 * 24 * 3600.0  # a start behind that is not predicted


class Blocker(StrEnum):
    """What keeps a queued job from running. Where several do, the first of this list is told."""

    NOT_BEFORE = "not_before"  # its time has not come
    QUOTA = "quota"  # its tenant's budget is used up, in the middle of a book
    PAUSED = "paused"  # it is paused, or its tenant
    NO_WORKER = "no_worker"  # no live worker serves its model
    CAP = "cap"  # its tenant runs as many jobs as it may
    FAIRNESS = "fairness"  # other tenants' jobs come first
    BUSY = "busy"  # all slots are taken


HELD = {
    int(Hold.NOT_BEFORE): Blocker.NOT_BEFORE,
    int(Hold.PAUSED): Blocker.PAUSED,
    int(Hold.BUDGET): Blocker.QUOTA,
}


@dataclass(frozen=True)
class Eta:
    """When a job will start: by `p50` in half of all cases, by `p90` in nine of ten."""

    p50: datetime
    p90: datetime

    @classmethod
    def after(cls, start: Start, now: datetime) -> "Eta":
        return cls(now + timedelta(seconds=start.p50), now + timedelta(seconds=start.p90))


@dataclass(frozen=True)
class Standing:
    """All null for a job that does not wait."""

    position: int | None = None  # in its lane, from 1
    more: bool = False  # it stands somewhere behind that position
    blocked_by: Blocker | None = None
    eta: Eta | None = None


def held_by(job: Job) -> Blocker | None:
    """Return what holds a queued job out of its lane."""
    return HELD.get(job.hold) if job.state is State.QUEUED else None


def waits(job: Job) -> bool:
    """Whether a job stands in its lane."""
    return job.state is State.QUEUED and job.hold == Hold.NONE


def stand(job: Job, ahead: Ahead, view: View) -> Standing:
    """Explain a job that stands in its lane."""
    start = predict(job, ahead, view)
    return Standing(
        position=min(ahead.jobs + 1, EXACT),
        more=ahead.jobs >= EXACT,
        blocked_by=blocker(job, ahead, view),
        eta=Eta.after(start, view.now) if start else None,
    )


def blocker(job: Job, ahead: Ahead, view: View) -> Blocker | None:
    """Return what keeps a runnable job waiting; None if it is about to start, or nothing is known."""
    if view.tenant.paused:
        return Blocker.PAUSED
    if not view.live_slots:
        return Blocker.NO_WORKER
    if view.tenant.max_running is not None and view.lane.running >= view.tenant.max_running:
        return Blocker.CAP
    service, spot = service_of(job, view), spot_of(job, ahead, view)
    if service is None or spot is None or eta.starts_at_once(service, spot):
        return None
    return Blocker.FAIRNESS if eta.waits_for_others(service, spot) else Blocker.BUSY


def predict(job: Job, ahead: Ahead, view: View) -> Start | None:
    """Say within how many seconds a runnable job will start; None if that cannot be known."""
    seconds = seconds_to_start(job, ahead, view)
    return None if seconds is None or view.forecast is None else view.forecast.stretches.start(seconds)


def seconds_to_start(job: Job, ahead: Ahead, view: View) -> float | None:
    """Predict a start, errors not allowed for; None if it cannot be known or is too far away."""
    if view.tenant.paused or not view.live_slots:
        return None
    service, spot = service_of(job, view), spot_of(job, ahead, view)
    seconds = eta.seconds_to_start(service, spot) if service and spot else None
    return None if seconds is None or seconds > FARTHEST_SECONDS else seconds


def service_of(job: Job, view: View) -> Service | None:
    """Put together how the job's model is served; None if that was not measured lately."""
    known = view.forecast
    if known is None or view.age is None or view.age > STALE_SECONDS:
        return None
    done = known.done
    job_work = done.work / done.jobs if done.jobs else float(job.estimate)
    return Service(
        slots=view.live_slots,
        running=view.live_running,
        # What has been claimed since and what has ended since leave a difference of whole jobs.
        unfinished=max(0.0, known.unfinished + (view.live_running - known.running) * job_work),
        rate=done.speed * known.utilisation * view.live_slots,
        job_work=job_work,
        half=done.square / done.work / 2 if done.work else job.estimate / 2,
        age=view.age,
        curve=known.curve,
    )


def spot_of(job: Job, ahead: Ahead, view: View) -> Spot | None:
    """Say where in virtual time a job stands; None if it is so deep in its lane that this is not known yet."""
    lane, tenant, counted = view.lane, view.tenant, view.counted
    ratio = lane_ratio(view.forecast, counted)
    work = _work_ahead(job, ahead, counted)
    if work is None:
        return None
    work *= ratio
    begin = eta.settled(lane.virtual_time, lane.outstanding, tenant.weight, ratio)
    known = counted is not None and counted.jobs > 0
    return Spot(
        tag=begin + work / tenant.weight,
        ahead=work,
        job=counted.work * ratio / counted.jobs if counted and known else 0.0,
        counted=counted.work * ratio if counted and known else 0.0,
        cap=tenant.max_running,
        running=lane.running,
    )


def lane_ratio(forecast: Forecast | None, counted: LaneForecast | None) -> float:
    """Return work done by work estimated: the lane's own as far as it is known, else the model's."""
    ratio = forecast.done.ratio if forecast else 1.0
    if counted is None:
        return ratio
    return eta.ratio_of_lane(ratio, counted.done_work, counted.done_estimate)


def _work_ahead(job: Job, ahead: Ahead, counted: LaneForecast | None) -> float | None:
    """Return the estimates of what is before a job in its lane.

    Deeper than is counted at each look, it is the job's share of the lane by age, as if all had one priority.
    """
    if ahead.jobs < EXACT:
        return float(ahead.work)
    if counted is None or counted.last_seq <= counted.first_seq:
        return None
    share = (job.seq - counted.first_seq) / (counted.last_seq - counted.first_seq)
    return max(float(ahead.work), counted.work * min(max(share, 0.0), 1.0))
