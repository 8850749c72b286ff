"""A storm: tenants submit thousands of jobs while one fault follows the other, and then the checker looks."""

import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from chaos import counters, evidence, recovery
from chaos.checker import Texts, Violation, check
from chaos.clients import Client, Crowd
from chaos.evidence import Evidence
from chaos.faults import FAULTS, Fault, Injected, Scene
from chaos.figures import Figure, label
from chaos.history import SUBMIT, Event, History
from chaos.intents import intents
from chaos.schedule import Kind, plan
from chaos.system import System

SETTLE_SECONDS = 1800.0
LATE = 2.0  # times as long as they mean to, clients may take on a busy machine and still meet faults
TENANTS = 4
CLIENTS_EACH = 4


@dataclass(frozen=True)
class Storm:
    """`rate`: jobs a second that all clients together mean to submit. `only`: faults by name; empty for all."""

    jobs: int
    seed: int
    rate: float
    outage: float = 5.0
    only: Sequence[str] = ()
    slow: float = 0.01  # share of jobs that last seconds
    calm: float = 1.0  # part of the time that faults are left before the next one

    def faults(self) -> list[Fault]:
        return [fault for fault in FAULTS if not self.only or fault.name in self.only]


@dataclass(frozen=True)
class Found:
    figures: list[Figure]
    violations: list[Violation]


def rage(system: System, storm: Storm, texts: Texts) -> Found:
    """Run a storm to its end; the system is whole again after it."""
    history = History()
    accounts = [system.add_tenant(f"tenant-{number}") for number in range(TENANTS)]
    clients = TENANTS * CLIENTS_EACH
    shares = [storm.jobs // clients + (number < storm.jobs % clients) for number in range(clients)]
    work = [intents(storm.seed, f"client-{number}", share, slow=storm.slow) for number, share in enumerate(shares)]
    harm = Client(system.url, system.add_tenant("harmful"), history)
    scene = Scene(system, harm, random.Random(storm.seed), storm.outage)
    crowd = Crowd(system.url, accounts, history, work, storm.jobs / storm.rate)
    begun = time.monotonic()
    crowd.start()
    injected = _inject(scene, storm, crowd)
    system.until(crowd.done, SETTLE_SECONDS, "the clients")
    system.restore()
    system.until(lambda: system.live() == 0, SETTLE_SECONDS, "every job to end")
    seconds = time.monotonic() - begun
    harm.close()
    return judge(system, history.events(), injected, texts, seconds)


def _inject(scene: Scene, storm: Storm, crowd: Crowd) -> list[Injected]:
    faults = {fault.name: fault for fault in storm.faults()}
    lease = scene.system.choices.lease
    lengths = {name: fault.length(storm.calm, storm.outage, lease) for name, fault in faults.items()}
    kinds = [Kind(name, seconds) for name, seconds in lengths.items()]
    begun = time.monotonic()
    injected: list[Injected] = []
    for planned in plan(kinds, storm.seed, LATE * storm.jobs / storm.rate):
        while time.monotonic() < begun + planned.at and not crowd.done():
            scene.system.processes.pause(0.1)
        if not crowd.done() or planned.name not in {fault.name for fault in injected}:
            injected.append(faults[planned.name].inject(scene))
    return injected


def judge(
    system: System, events: Sequence[Event], injected: Sequence[Injected], texts: Texts, seconds: float
) -> Found:
    """Check a run that has ended, and say what it came to."""
    found = evidence.gather(system.database_url, system.master_keys)
    violations = check(events, found, texts)
    figures = [
        *_counts(events, found, violations, seconds),
        *(Figure(f"injected_{name}", count, "times") for name, count in _times(injected)),
        *recovery.as_figures(recovery.recoveries(injected, events, found)),
        *_recomputed(found, counters.total(system.counters)),
    ]
    return Found(figures, violations)


def _times(injected: Sequence[Injected]) -> list[tuple[str, int]]:
    return sorted(Counter(label(fault.name) for fault in injected if not fault.skipped).items())


def _counts(
    events: Sequence[Event], found: Evidence, violations: Sequence[Violation], seconds: float
) -> list[Figure]:
    kinds = Counter(violation.kind for violation in violations)
    submits = [event for event in events if event.what == SUBMIT]
    acknowledged = {event.job for event in submits if event.accepted}
    return [
        Figure("jobs", len(found.jobs), "jobs"),
        Figure("jobs_acknowledged", len(acknowledged), "jobs"),
        *(Figure(f"jobs_{state}", count, "jobs") for state, count in sorted(_states(found).items())),
        Figure("lost", kinds["lost"] + kinds["unfinished"], "jobs", 0),
        Figure("doubled", kinds["doubled"] + kinds["ended_twice"] + kinds["unasked"], "jobs", 0),
        Figure("violations", len(violations), "", 0),
        *(Figure(f"violations_{kind}", count, "") for kind, count in sorted(kinds.items())),
        Figure("seconds", seconds, "s"),
        Figure("jobs_per_second", len(found.jobs) / seconds, "jobs/s"),
        Figure("requests", len(events), ""),
        Figure("requests_without_answer", sum(event.status is None for event in events), ""),
        Figure("requests_answered_503", sum(event.status == 503 for event in events), ""),
        Figure("requests_answered_500", sum(event.status == 500 for event in events), "", 0),
    ]


def _states(found: Evidence) -> Counter[str]:
    return Counter(job.state for job in found.jobs)


def _recomputed(found: Evidence, drawn: int) -> list[Figure]:
    """Return what was computed more than once. Drawn and not kept: also what was cut off by a cancel."""
    prompts = {job.id: job.prompt_tokens for job in found.jobs}
    again = [step for step in found.steps if step.new_state == "running" and (step.old_fence or 0) > 0]
    kept = sum(job.completion_tokens for job in found.jobs)
    return [
        Figure("tokens_delivered", kept, "tokens"),
        Figure("tokens_drawn_and_not_kept", drawn - kept, "tokens"),
        Figure("tokens_prefilled_again", sum(prompts[step.job] + step.logged for step in again), "tokens"),
        Figure("jobs_claimed_again", len({step.job for step in again}), "jobs"),
    ]
