"""A fair queue in memory, with a clock of its own: jobs start as the claim has it, and take what they take."""

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
    done: Done = field(default_factory=Done)


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

    def ratio(self, lane: SimulatedLane) -> float:
        return eta.ratio_of_lane(self.done.ratio, lane.done.work, lane.done.estimate)

    def waiting_work(self, lane: SimulatedLane) -> float:
        return sum(job.estimate for job in lane.queue) * self.ratio(lane)

    def settled(self, lane: SimulatedLane) -> float:
        return eta.settled(lane.virtual_time, lane.outstanding, lane.weight, self.ratio(lane))

    def service(self) -> Service:
        running = [(job, lane) for _, _, lane, job in self._ends]
        unfinished = sum(
            max(0.0, job.estimate * self.ratio(lane) - self.speed * (self.now - (job.started or 0.0)))
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
                self.settled(lane),
                lane.weight,
                self.waiting_work(lane),
                self.waiting_work(lane) / len(lane.queue),
                lane.cap / self.slots if lane.cap else None,
            )
            for lane in self.lanes
            if lane.queue
        ])  # fmt: skip

    def spot(self, lane: SimulatedLane, place: int) -> Spot:
        """Where the job at a place of a lane's queue, from 0, stands."""
        ahead = sum(job.estimate for job in list(lane.queue)[:place]) * self.ratio(lane)
        return Spot(
            tag=self.settled(lane) + ahead / lane.weight,
            ahead=ahead,
            job=self.waiting_work(lane) / len(lane.queue),
            counted=self.waiting_work(lane),
            cap=lane.cap,
            running=lane.running,
        )

    def _claim(self) -> None:
        while len(self._ends) < self.slots:
            open_lanes = [
                each for each in self.lanes if each.queue and (each.cap is None or each.running < each.cap)
            ]
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
