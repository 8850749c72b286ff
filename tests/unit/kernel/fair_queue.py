"""A fair queue in memory, with a clock of its own: jobs run as the claim would start them, and take what they take."""

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from quire import eta
from quire.eta import Backlog, Curve, Done, Service, Spot


@dataclass(eq=False)
class Waiting:
    """A job: the work that was estimated, and what it will be."""

    estimate: float
    work: float
    started: float | None = None


@dataclass(eq=False)
class SimulatedLane:
    weight: float = 1.0
    cap: int | None = None
    virtual_time: float = 0.0
    outstanding: float = 0.0
    running: int = 0
    queue: deque[Waiting] = field(default_factory=deque)
    done: Done = Done()

    @property
    def ratio(self) -> float:
        return self.done.ratio

    @property
    def waiting_work(self) -> float:
        return sum(job.estimate for job in self.queue) * self.ratio

    @property
    def settled(self) -> float:
        return eta.settled(self.virtual_time, self.outstanding, self.weight, self.ratio)


class FairQueue:
    """Serves lanes by virtual time on equal slots, each of which does `speed` tokens of work a second."""

    def __init__(self, *lanes: SimulatedLane, slots: int, speed: float = 10.0) -> None:
        self.lanes = list(lanes)
        self.slots = slots
        self.speed = speed
        self.now = 0.0
        self._virtual_now = 0.0
        self._ends: list[tuple[float, int, SimulatedLane, Waiting]] = []
        self._count = 0
        self.done = Done()

    def submit(self, lane: SimulatedLane, *jobs: Waiting) -> None:
        if not lane.queue:
            lane.virtual_time = max(lane.virtual_time, self._virtual_now)
        lane.queue.extend(jobs)
        self._claim()

    def run(self, until: float, on_end: Callable[[], None] = lambda: None) -> None:
        while self._ends and self._ends[0][0] <= until:
            self.now, _, lane, job = heapq.heappop(self._ends)
            lane.virtual_time += (job.work - job.estimate) / lane.weight
            lane.outstanding -= job.estimate
            lane.running -= 1
            new = Done(1, job.work, job.work**2, job.estimate, job.work / self.speed)
            lane.done, self.done = lane.done.add(new, 50), self.done.add(new, 200)
            self._claim()
            on_end()
        self.now = until

    def service(self) -> Service:
        running = [(job, lane) for _, _, lane, job in self._ends]
        unfinished = sum(
            max(0.0, job.estimate * lane.ratio - self.speed * (self.now - (job.started or 0.0)))
            for job, lane in running
        )
        return Service(
            slots=self.slots,
            running=len(running),
            unfinished=unfinished,
            rate=self.done.speed * self.slots,
            job_work=self.done.work / self.done.jobs if self.done.jobs else 1.0,
            half=self.done.square / self.done.work / 2 if self.done.work else 0.5,
            age=0.0,
            curve=self.curve(),
        )

    def curve(self) -> Curve:
        return eta.curve([
            Backlog(
                lane.settled,
                lane.weight,
                lane.waiting_work,
                lane.waiting_work / len(lane.queue),
                lane.cap / self.slots if lane.cap else None,
            )
            for lane in self.lanes
            if lane.queue
        ])  # fmt: skip

    def spot(self, lane: SimulatedLane, place: int) -> Spot:
        """Where the job at a place of a lane's queue, from 0, stands."""
        ahead = sum(job.estimate for job in list(lane.queue)[:place]) * lane.ratio
        return Spot(
            tag=lane.settled + ahead / lane.weight,
            ahead=ahead,
            job=lane.waiting_work / len(lane.queue),
            counted=lane.waiting_work,
            cap=lane.cap,
            running=lane.running,
        )

    def _claim(self) -> None:
        while len(self._ends) < self.slots:
            open_lanes = [each for each in self.lanes if each.queue and (each.cap is None or each.running < each.cap)]
            if not open_lanes:
                return
            lane = min(open_lanes, key=lambda each: each.virtual_time)
            self._virtual_now = max(self._virtual_now, lane.virtual_time - lane.outstanding / lane.weight)
            job = lane.queue.popleft()
            job.started = self.now
            lane.virtual_time += job.estimate / lane.weight
            lane.outstanding += job.estimate
            lane.running += 1
            self._count += 1
            heapq.heappush(self._ends, (self.now + job.work / self.speed, self._count, lane, job))
