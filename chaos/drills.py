"""Drills: one fault at a time on a quiet system, each promise about time measured by itself."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median

from chaos.checker import POISON
from chaos.clients import Client
from chaos.figures import Figure
from chaos.history import History
from chaos.intents import Intent, harmful
from chaos.system import WORKERS, System
from chaos.works import IS_LONG, IS_ORDINARY, IS_SLOW

WAIT_SECONDS = 180.0
DOWN_SECONDS = 20.0  # of Postgres
NEIGHBOURS = 63

AGAIN = """
SELECT count(*), coalesce(max(first), 0)::float8 FROM (
    SELECT job_id, extract(epoch FROM min(at)) AS first FROM chaos.steps
    WHERE job_id = ANY (%s::uuid[]) AND new_state = 'running' AND at > to_timestamp(%s) GROUP BY job_id) AS again
"""
STATES = "SELECT state, attempts, coalesce(error->>'code', '') FROM jobs WHERE id = ANY (%s::uuid[])"
ENDED = "SELECT count(*) FROM jobs WHERE id = ANY (%s::uuid[]) AND finished_at IS NOT NULL"
STARTED = "SELECT count(*) FROM jobs WHERE id = ANY (%s::uuid[]) AND started_at IS NOT NULL"
CLAIMS = "SELECT count(*) FROM chaos.steps WHERE job_id = ANY (%s::uuid[]) AND new_state = 'running'"
WAITED = """
SELECT max(extract(epoch FROM started_at - created_at))::float8 FROM jobs WHERE id = ANY (%s::uuid[])
"""


@dataclass
class Stage:
    """A system, and one client that submits to it."""

    system: System
    history: History = field(default_factory=History)
    _keys: int = 0

    def __post_init__(self) -> None:
        self.account = self.system.add_tenant("drills")
        self.client = Client(self.system.url, self.account, self.history)

    def close(self) -> None:
        self.client.close()

    def submit(self, works: Iterable[int]) -> list[str]:
        """Submit a job for each work."""
        self._await_api()
        return [self.client.submit(Intent(self.key(), work)) for work in works]

    def send(self, intent: Intent) -> str:
        self._await_api()
        return self.client.submit(intent)

    def _await_api(self) -> None:
        """Nobody looks after the processes while this thread submits, so the API must be there before."""
        self.system.until(self.system.answers, WAIT_SECONDS, "the API")

    def key(self) -> str:
        self._keys += 1
        return f"drill-{self._keys}"

    def running(self, works: Iterable[int]) -> list[str]:
        """Submit jobs, and wait until all of them run."""
        jobs = self.submit(works)
        self.system.until(lambda: self.number(STARTED, jobs) == len(jobs), WAIT_SECONDS, "the jobs to run")
        return jobs

    def busiest(self) -> tuple[str, list[str]]:
        """Return the worker with the most jobs, and these."""
        return max(((worker, self.system.running_on(worker)) for worker in WORKERS), key=lambda pair: len(pair[1]))

    def runs_again(self, jobs: Sequence[str], since: float) -> float:
        """Wait until all have been claimed again; returns the seconds from `since` to the last claim."""
        last = 0.0

        def again() -> bool:
            nonlocal last
            rows = self.system.ask(AGAIN, _ids(jobs), since)
            count, last = (int(str(rows[0][0])), float(str(rows[0][1]))) if rows else (0, 0.0)
            return count == len(jobs)

        self.system.until(again, WAIT_SECONDS, "the jobs to run again")
        return last - since

    def number(self, statement: str, jobs: Sequence[str]) -> float:
        rows = self.system.ask(statement, _ids(jobs))
        return float(str(rows[0][0])) if rows else -1.0

    def all_end(self, jobs: Sequence[str]) -> None:
        self.system.until(lambda: self.number(ENDED, jobs) == len(jobs), WAIT_SECONDS, "the jobs to end")

    def ends(self, jobs: Sequence[str]) -> list[tuple[str, int, str]]:
        """Wait for all; returns of each its state, its attempts and its error."""
        self.all_end(jobs)
        rows = self.system.ask(STATES, _ids(jobs))
        return [(str(state), int(str(tries)), str(error)) for state, tries, error in rows]

    def rest(self) -> None:
        """Everything up, nothing to do."""
        self.system.restore()
        self.system.until(lambda: self.system.live() == 0, WAIT_SECONDS, "the jobs to end")


def _ids(jobs: Sequence[str]) -> list[str]:
    return [job.removeprefix("job_") for job in jobs]


def worker_killed(stage: Stage) -> float:
    """Return the seconds until the jobs of a killed worker run again, beside a second one."""
    stage.running([*IS_SLOW] * 2)
    victim, hit = stage.busiest()
    at = time.time()
    stage.system.processes.strike(victim)
    return stage.runs_again(hit, at)


def only_worker_killed(stage: Stage) -> float:
    """Return the same where nobody else is there: its restart is part of it."""
    stage.system.drain(WORKERS[1])
    stage.running(IS_SLOW)
    _, hit = stage.busiest()
    at = time.time()
    stage.system.processes.strike(WORKERS[0])
    return stage.runs_again(hit, at)


def machine_lost(stage: Stage) -> float:
    """Return the same where nobody sees the worker exit."""
    stage.running([*IS_SLOW] * 2)
    victim, hit = stage.busiest()
    stage.system.expires = False
    at = time.time()
    stage.system.processes.put_down(victim)
    stage.system.expires = True
    return stage.runs_again(hit, at)


def valkey_lost(stage: Stage) -> float:
    """Return the longest that a new job waited for its start while Valkey was away."""
    stage.system.processes.put_down("valkey")
    jobs = [job for work in IS_ORDINARY[:8] for job in _one_by_one(stage, work)]
    stage.system.processes.bring_up("valkey")
    stage.all_end(jobs)
    return stage.number(WAITED, jobs)


def _one_by_one(stage: Stage, work: int) -> list[str]:
    jobs = stage.submit([work])
    stage.all_end(jobs)
    return jobs


def drained(stage: Stage) -> tuple[float, float, float]:
    """Return the seconds until a worker told to stop has ended, until its jobs run again, and attempts counted."""
    jobs = stage.running([*IS_SLOW] * 2)
    victim, hit = stage.busiest()
    at = time.time()
    ended = stage.system.drain(victim)
    again = stage.runs_again(hit, at)
    return ended, again, max(tries for _, tries, _ in stage.ends(jobs))


def postgres_down(stage: Stage) -> list[Figure]:
    """Take Postgres away under jobs that run: some are done while it is away, some after."""
    jobs = stage.running([*IS_SLOW, *IS_LONG])
    stage.system.processes.pause(1.0)
    stage.system.processes.put_down("postgres")
    stage.system.processes.pause(DOWN_SECONDS)
    stage.system.processes.bring_up("postgres")
    back = time.monotonic()
    ends = stage.ends(jobs)
    return [
        Figure("postgres_down_20s_running_jobs", len(jobs), "jobs"),
        Figure("postgres_down_20s_not_succeeded", sum(end[0] != "succeeded" for end in ends), "jobs", 0),
        Figure("postgres_down_20s_requeued", stage.number(CLAIMS, jobs) - len(jobs), "jobs", 0),
        Figure("postgres_down_20s_all_landed_after", time.monotonic() - back, "s"),
    ]


def poison(stage: Stage) -> list[Figure]:
    """One job that kills its worker among 63 that do not, all claimed at once by the only worker there is."""
    for worker in WORKERS:
        stage.system.drain(worker)
    bad = stage.send(harmful(POISON, stage.key()))
    neighbours = stage.submit(IS_ORDINARY[number % len(IS_ORDINARY)] for number in range(NEIGHBOURS))
    stage.system.processes.bring_up(WORKERS[0])
    ((state, _, code),) = stage.ends([bad])
    ends = stage.ends(neighbours)
    return [
        Figure("poison_not_failed_with_worker_lost", int((state, code) != ("failed", "worker_lost")), "jobs", 0),
        Figure("poison_neighbours_failed", sum(end[0] == "failed" for end in ends), "jobs", 0),
        Figure("poison_neighbours_not_succeeded", sum(end[0] != "succeeded" for end in ends), "jobs", 0),
        Figure("poison_neighbours_most_attempts", max(end[1] for end in ends), "attempts", 0),
    ]


def run(stage: Stage, rounds: int) -> list[Figure]:
    """Run all drills, those that measure a time several times."""
    lease = stage.system.choices.lease
    figures = [
        *_timed(stage, "worker_killed_beside_second", worker_killed, rounds, 1.5),
        *_timed(stage, "only_worker_killed", only_worker_killed, rounds, None),
        *_timed(stage, "worker_machine_lost", machine_lost, rounds, lease + 2.0),
        *_timed(stage, "valkey_lost_new_job_starts", valkey_lost, rounds, 2.0),
    ]
    drains = []
    for _ in range(rounds):
        drains.append(drained(stage))
        stage.rest()
    ended, again, attempts = zip(*drains, strict=True)
    figures += [
        Figure("drain_process_ended_p50", median(ended), "s"),
        Figure("drain_process_ended_max", max(ended), "s", 5.0),
        Figure("drain_jobs_run_again_max", max(again), "s"),
        Figure("drain_attempts_counted", max(attempts), "attempts", 0),
    ]
    for drill in (postgres_down, poison):
        figures += drill(stage)
        stage.rest()
    return figures


def _timed(
    stage: Stage, name: str, drill: Callable[[Stage], float], rounds: int, bound: float | None
) -> list[Figure]:
    times = []
    for _ in range(rounds):
        times.append(drill(stage))
        stage.rest()
    return [Figure(f"{name}_p50", median(times), "s"), Figure(f"{name}_max", max(times), "s", bound)]
