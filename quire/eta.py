"""When a waiting job will start: the fluid limit of fair queueing, over virtual time.

A claim serves the lane with the least virtual time, so lanes advance side by side, each by its weight. With jobs
small beside queues that is generalised processor sharing (Parekh & Gallager, IEEE/ACM ToN 1(3), 1993). A job's
start tag, as in start-time fair queueing (Goyal, Vin & Cheng, SIGCOMM 1996), stays what it is while it waits:

    tag = virtual time of its lane + work ahead of it in its lane / weight

By the time the claims have reached a tag, each lane was served  min(backlog, (tag - virtual time) * weight)  of
work, at least 0, and half a job more, because jobs are not divided; the sum over all lanes is the `Curve`. How
long that work takes, `seconds_to_start` says.

Work is in tokens, virtual time in tokens by weight, time in seconds.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace

KNOTS = 64  # of a stored curve: a kilobyte, which Postgres keeps inside the row
PRIOR = 500.0  # tokens of estimates from which on a lane's own ratio counts more than its model's


@dataclass(frozen=True)
class Backlog:
    """The work that waits in a lane; `share` of all slots is what its cap lets it hold, None without a cap."""

    virtual_time: float
    weight: float
    work: float
    job: float = 0.0  # work of one of its jobs, on average
    share: float | None = None


@dataclass(frozen=True)
class Curve:
    """The work of all lanes that is served before the claims reach a tag; straight between its knots."""

    tags: Sequence[float] = ()  # rising
    works: Sequence[float] = ()

    def at(self, tag: float) -> float:
        if not self.tags or tag <= self.tags[0]:
            return 0.0
        after = bisect_right(self.tags, tag)
        if after == len(self.tags):
            return self.works[-1]
        left, right = self.tags[after - 1], self.tags[after]
        part = (tag - left) / (right - left)
        return self.works[after - 1] + part * (self.works[after] - self.works[after - 1])


def curve(backlogs: Sequence[Backlog], knots: int = KNOTS) -> Curve:
    """Add up the lanes. Exact for few; with more bends than `knots`, what lies between is straightened."""
    bends: dict[float, float] = {}  # tag → by how much the work grows faster from there on
    for lane in limited([lane for lane in backlogs if lane.work > 0]):
        begin = lane.virtual_time - lane.job / 2 / lane.weight
        end = begin + lane.work / lane.weight
        bends[begin] = bends.get(begin, 0.0) + lane.weight
        bends[end] = bends.get(end, 0.0) - lane.weight
    tags, works = sorted(bends), list[float]()
    work = slope = before = 0.0
    for tag in tags:
        work += slope * (tag - before)
        slope += bends[tag]
        before = tag
        works.append(work)
    step = max(1, math.ceil(len(tags) / knots))
    kept = sorted({*range(0, len(tags), step), *range(len(tags))[-1:]})
    return Curve([tags[i] for i in kept], [works[i] for i in kept])


def limited(backlogs: Sequence[Backlog]) -> list[Backlog]:
    """Give each lane that its cap holds back the weight that the cap amounts to beside the others.

    Such a lane has fallen behind and does not catch up: it advances from where the others are.
    """
    total = sum(lane.weight for lane in backlogs)
    held, free = list[Backlog](), list[Backlog]()
    for lane in backlogs:
        (held if lane.share is not None and lane.share * total < lane.weight else free).append(lane)
    left = 1.0 - sum(lane.share or 0.0 for lane in held)
    if not held or not free or left <= 0:
        return list(backlogs)
    front = min(lane.virtual_time for lane in free)
    scale = sum(lane.weight for lane in free) / left
    return free + [
        replace(lane, virtual_time=max(lane.virtual_time, front), weight=(lane.share or 0.0) * scale)
        for lane in held
    ]


def ratio_of_lane(model_ratio: float, done_work: float, done_estimate: float) -> float:
    """Return work done by work estimated: a lane's own as far as it is known, else its model's."""
    return (done_work + PRIOR * model_ratio) / (done_estimate + PRIOR)


def settled(virtual_time: float, outstanding: float, weight: float, ratio: float) -> float:
    """Return where a lane will stand when its running jobs have ended, at `ratio` of what they are charged."""
    return virtual_time - outstanding * (1.0 - ratio) / weight


@dataclass(frozen=True)
class Done:
    """Finished jobs, added up; with each new one the earlier weigh less."""

    jobs: float = 0.0
    work: float = 0.0
    square: float = 0.0  # of the work, job by job
    estimate: float = 0.0
    seconds: float = 0.0  # running

    def add(self, new: "Done", memory: float) -> "Done":
        """Return the sums with new ones, where `memory` is about how many jobs are remembered."""
        keep = (1.0 - 1.0 / memory) ** new.jobs
        return Done(
            self.jobs * keep + new.jobs,
            self.work * keep + new.work,
            self.square * keep + new.square,
            self.estimate * keep + new.estimate,
            self.seconds * keep + new.seconds,
        )

    @property
    def speed(self) -> float:
        """Work a second of one running job; 0 while nothing is known."""
        return self.work / self.seconds if self.seconds > 0 else 0.0

    @property
    def ratio(self) -> float:
        """Work done by work estimated."""
        return self.work / self.estimate if self.estimate > 0 else 1.0


@dataclass(frozen=True)
class Service:
    """How a model is served."""

    slots: int
    running: int
    unfinished: float  # work that running jobs have still to do
    rate: float  # work a second of all slots together, when they are wanted; 0: unknown
    job_work: float  # of a job, on average
    half: float  # work left of a job met while it runs: its square by twice its mean (renewal theory)
    curve: Curve
    age: float  # of the curve, in seconds


@dataclass(frozen=True)
class Spot:
    """Where a job stands."""

    tag: float
    ahead: float  # work before it in its own lane
    job: float  # work of one of its lane, on average
    counted: float  # work of its lane that the curve knows; 0 if the lane is not in it
    cap: int | None  # on running jobs of its lane
    running: int  # jobs of its lane


def work_of_others(service: Service, spot: Spot) -> float:
    """Work of other lanes that is claimed before the job.

    What was served since the curve was drawn, the job's own lane too, is in it and has to come off.
    """
    own = min(spot.counted, spot.ahead + spot.job / 2)
    return max(0.0, service.curve.at(spot.tag) - own - service.rate * service.age)


def work_before(service: Service, spot: Spot) -> float:
    """Work of all lanes that is claimed before the job."""
    return spot.ahead + work_of_others(service, spot)


def starts_at_once(service: Service, spot: Spot) -> bool:
    """Whether there are more free slots than jobs before this one."""
    return work_before(service, spot) < (service.slots - service.running - 0.5) * service.job_work


def waits_for_others(service: Service, spot: Spot) -> bool:
    """Whether other lanes are served before it."""
    return work_of_others(service, spot) > service.job_work / 2


def seconds_to_start(service: Service, spot: Spot) -> float | None:
    """Return the time until a slot takes the job, as of now; None if the rate is unknown.

    All work claimed before it and all work still running is done by then, but for what the other slots are at:
    they are half-way, on average.
    """
    if service.rate <= 0 or service.slots <= 0:
        return None
    fair = 0.0
    if not starts_at_once(service, spot):
        work = work_before(service, spot) + service.unfinished - (service.slots - 1) * service.half
        fair = work / service.rate
    return max(0.0, fair, _seconds_under_cap(service, spot))


def _seconds_under_cap(service: Service, spot: Spot) -> float:
    """The same for the lane by itself, which has no more slots than its cap."""
    if spot.cap is None or spot.cap >= service.slots:
        return 0.0
    if spot.ahead < (spot.cap - spot.running - 0.5) * service.job_work:
        return 0.0
    work = spot.ahead + (spot.running - spot.cap + 1) * service.half
    return work / (service.rate * spot.cap / service.slots)
