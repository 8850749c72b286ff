"""The faults: one function each. Each hits the system, lets the fault last, and says what it has hit."""

import random
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from chaos.checker import POISON, RAISING
from chaos.clients import Client
from chaos.intents import harmful
from chaos.system import APIS, SCHEDULERS, WORKERS, System
from chaos.valkey import fill_disk, free_disk

HARM_SECONDS = 120.0
BUSY_SECONDS = 10.0  # for jobs to be found at work
TAKE_OVER_SECONDS = 15.0  # after a lease, for another worker to run its jobs; only a busy machine needs them
Back = Literal["hit jobs run again", "new jobs start", "submits are answered"]


@dataclass(frozen=True)
class Scene:
    """What a fault may use. `harm` submits the prompts that kill."""

    system: System
    harm: Client
    choice: random.Random
    outage: float  # seconds that a server stays away


@dataclass(frozen=True)
class Injected:
    """A fault that happened. `at`: when, or when what was away came back, if nothing can recover before that."""

    name: str
    at: float  # seconds since 1970
    back: Back
    hit: Sequence[str] = ()  # ids of the jobs that lost their worker
    skipped: str = ""  # why it was not injected after all


@dataclass(frozen=True)
class Fault:
    """`seconds`: how long to leave it before the next one, outages and leases not counted."""

    name: str
    seconds: float
    outages: float
    leases: float
    inject: Callable[[Scene], Injected]

    def length(self, calm: float, outage: float, lease: float) -> float:
        return calm * self.seconds + self.outages * outage + self.leases * lease


def kill_worker(scene: Scene) -> Injected:
    worker, hit = _busiest(scene)
    at = time.time()
    scene.system.processes.strike(worker)
    return Injected("worker killed", at, "hit jobs run again", hit)


def lose_worker(scene: Scene) -> Injected:
    """As if its machine was gone: nobody sees it exit, and its lease has to lapse."""
    worker, hit = _busiest(scene)
    scene.system.expires = False
    try:
        at = time.time()
        scene.system.processes.put_down(worker)
    finally:
        scene.system.expires = True
    scene.system.processes.pause(scene.system.choices.lease + 2.0)
    scene.system.processes.bring_up(worker)
    return Injected("worker machine lost", at, "hit jobs run again", hit)


def stop_worker(scene: Scene) -> Injected:
    """Stop it beyond its lease and let it go on: a zombie that believes its jobs are its own."""
    worker, hit = _busiest(scene)
    at = time.time()
    scene.system.processes.strike(worker, signal.SIGSTOP)
    _until_taken_over(scene, worker, hit)
    scene.system.processes.strike(worker, signal.SIGCONT)
    return Injected("worker stopped beyond its lease", at, "hit jobs run again", hit)


def drain_worker(scene: Scene) -> Injected:
    worker, hit = _busiest(scene)
    at = time.time()
    scene.system.drain(worker)
    scene.system.processes.bring_up(worker)
    return Injected("worker told to stop", at, "hit jobs run again", hit)


def kill_api(scene: Scene) -> Injected:
    at = time.time()
    scene.system.processes.strike(_one(scene, APIS))
    return Injected("API killed", at, "submits are answered")


def kill_all_apis(scene: Scene) -> Injected:
    at = time.time()
    for name in APIS:
        scene.system.processes.strike(name)
    return Injected("all APIs killed", at, "submits are answered")


def kill_scheduler(scene: Scene) -> Injected:
    at = time.time()
    scene.system.processes.strike(_one(scene, SCHEDULERS))
    return Injected("scheduler killed", at, "new jobs start")


def kill_all_schedulers(scene: Scene) -> Injected:
    at = time.time()
    for name in SCHEDULERS:
        scene.system.processes.strike(name)
    return Injected("all schedulers killed", at, "new jobs start")


def kill_valkey(scene: Scene) -> Injected:
    at = time.time()
    scene.system.processes.strike("valkey")
    return Injected("Valkey killed", at, "new jobs start")


def lose_valkey(scene: Scene) -> Injected:
    """Away for a while, and back without anything."""
    at = time.time()
    scene.system.processes.put_down("valkey")
    scene.system.forget_valkey()
    scene.system.processes.pause(scene.outage)
    scene.system.processes.bring_up("valkey")
    return Injected("Valkey lost with its data", at, "new jobs start")


def flush_valkey(scene: Scene) -> Injected:
    scene.system.until(scene.system.valkey_answers, HARM_SECONDS, "Valkey")  # an earlier fault may have killed it
    at = time.time()
    with scene.system.valkey() as client:
        client.flushall()
    return Injected("Valkey flushed", at, "new jobs start")


def fill_valkeys_disk(scene: Scene) -> Injected:
    at = time.time()
    pid = scene.system.processes.pid("valkey")
    if pid is None or not fill_disk(pid):
        return Injected("disk of Valkey full", at, "new jobs start", skipped="not on this system")
    scene.system.processes.pause(scene.outage)
    free_disk(pid)
    return Injected("disk of Valkey full", at, "new jobs start")


def kill_postgres(scene: Scene) -> Injected:
    scene.system.processes.strike("postgres")
    scene.system.until(lambda: scene.system.live() >= 0, HARM_SECONDS, "Postgres")
    return Injected("Postgres killed", time.time(), "new jobs start")


def lose_postgres(scene: Scene) -> Injected:
    """Away for a while: its own immediate shutdown, as an operator in a hurry would ask for."""
    scene.system.processes.put_down("postgres", signal.SIGQUIT)
    scene.system.processes.pause(scene.outage)
    scene.system.processes.bring_up("postgres")
    scene.system.until(lambda: scene.system.live() >= 0, HARM_SECONDS, "Postgres")
    return Injected("Postgres away", time.time(), "new jobs start")


def cut_connections(scene: Scene) -> Injected:
    at = time.time()
    for _ in range(5):
        scene.system.postgres_proxy.cut()
        scene.system.valkey_proxy.cut()
        scene.system.processes.pause(scene.choice.uniform(0.1, 0.6))
    return Injected("connections cut", at, "new jobs start")


def cut_off(scene: Scene) -> Injected:
    """One of each service is cut off from Postgres beyond its lease, and then let back."""
    worker = WORKERS[1]
    hit = scene.system.running_on(worker)
    at = time.time()
    scene.system.postgres_proxy.refuse()
    _until_taken_over(scene, worker, hit)
    scene.system.postgres_proxy.allow()
    return Injected("cut off from Postgres", at, "hit jobs run again", hit)


def send_poison(scene: Scene) -> Injected:
    """A job that kills whoever runs it. What it takes along is not given up: the checker looks."""
    at = time.time()
    job = _harm(scene, POISON)
    scene.system.until(lambda: scene.system.has_ended(job), HARM_SECONDS, "the poison to be given up")
    return Injected("job that kills its worker", at, "new jobs start")


def send_raising(scene: Scene) -> Injected:
    at = time.time()
    _harm(scene, RAISING)
    return Injected("job that raises", at, "new jobs start")


# Restarting a worker takes some seconds, and the next fault should not always find it away.
FAULTS = (
    Fault("worker killed", 8.0, 0, 0, kill_worker),
    Fault("worker machine lost", 8.0, 0, 1, lose_worker),
    Fault("worker stopped beyond its lease", 5.0, 0, 1, stop_worker),
    Fault("worker told to stop", 10.0, 0, 0, drain_worker),
    Fault("API killed", 4.0, 0, 0, kill_api),
    Fault("all APIs killed", 5.0, 0, 0, kill_all_apis),
    Fault("scheduler killed", 3.0, 0, 0, kill_scheduler),
    Fault("all schedulers killed", 4.0, 0, 0, kill_all_schedulers),
    Fault("Valkey killed", 4.0, 0, 0, kill_valkey),
    Fault("Valkey lost with its data", 3.0, 1, 0, lose_valkey),
    Fault("Valkey flushed", 2.0, 0, 0, flush_valkey),
    Fault("disk of Valkey full", 3.0, 1, 0, fill_valkeys_disk),
    Fault("Postgres killed", 8.0, 0, 0, kill_postgres),
    Fault("Postgres away", 6.0, 1, 0, lose_postgres),
    Fault("connections cut", 4.0, 0, 0, cut_connections),
    Fault("cut off from Postgres", 5.0, 0, 1, cut_off),
    Fault("job that kills its worker", 20.0, 0, 0, send_poison),
    Fault("job that raises", 1.0, 0, 0, send_raising),
)

PATIENT = "job that kills its worker"  # takes the lives of three workers, so half a minute


def _harm(scene: Scene, kind: str) -> str:
    scene.system.until(scene.system.answers, HARM_SECONDS, "the API")  # whoever submits here tends no process
    return scene.harm.submit(harmful(kind, f"{kind}-{time.time_ns()}"))


def _until_taken_over(scene: Scene, worker: str, jobs: Sequence[str]) -> None:
    """Let a lease lapse, until another worker runs some of the jobs: the worst moment for the first to be back."""
    (other,) = (name for name in WORKERS if name != worker)
    lapsed = time.monotonic() + scene.system.choices.lease
    deadline = lapsed + TAKE_OVER_SECONDS if jobs else lapsed
    while time.monotonic() < deadline and not set(jobs) & set(scene.system.running_on(other)):
        scene.system.processes.pause(0.05)


def _busiest(scene: Scene) -> tuple[str, list[str]]:
    """Return the worker that has the most jobs, and these; waits for a moment in which there are some."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        at_work = [(name, scene.system.running_on(name)) for name in scene.choice.sample(WORKERS, len(WORKERS))]
        worker, jobs = max(at_work, key=lambda pair: len(pair[1]))
        if jobs or time.monotonic() > deadline:
            return worker, jobs
        scene.system.processes.pause(0.05)


def _one(scene: Scene, names: Sequence[str]) -> str:
    return scene.choice.choice(names)
