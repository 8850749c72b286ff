"""One tenant alone on a system, and one among many that are idle: is it as fast, and are all slots in use?

Both systems are up all the time, and take turns.
"""

import socket
import urllib.request
from dataclasses import dataclass
from uuid import UUID

from bench.engine.driver import say
from bench.fairness.figures import Figure, at_least
from bench.fairness.live import SLOTS, Ask, Live, live, wait_until
from bench.fairness.options import Options
from bench.fairness.served import ended

IDLE = 50
JOB = Ask(tokens=128)
JOBS = 400
ROUNDS = 5
AS_MUCH = 0.95  # of what it gets alone
TEXTS, STEPS = "quire_engine_decoded_tokens_total", "quire_engine_steps_total"


@dataclass(frozen=True)
class Round:
    """How fast the jobs of one tenant went, and how many of the slots they used on average while all could."""

    rate: float  # jobs/s
    busy: float


def measure(options: Options) -> list[Figure]:
    ports = _free_ports()
    with (
        live(options, "alone", QUIRE_METRICS_PORT=str(ports[0])) as bare,
        live(options, "among", QUIRE_METRICS_PORT=str(ports[1])) as shared,
    ):
        idle = [customer.tenant for customer in shared.customers(IDLE, "idle")]
        shared.queue({tenant: [Ask(tokens=8)] for tenant in idle})
        wait_until(lambda: all(shared.count(tenant, "succeeded") for tenant in idle), "the idle do not end")
        active = [system.customers(1, "active")[0].tenant for system in (bare, shared)]
        for system, tenant, port in zip((bare, shared), active, ports, strict=True):
            _round(system, tenant, port)  # warm
        alone, among = [], []
        for _ in range(ROUNDS):
            alone.append(_round(bare, active[0], ports[0]))
            among.append(_round(shared, active[1], ports[1]))
    say(f"alone {alone}, among {IDLE} idle {among}")
    # The best of each: what else goes on in the machine makes a round slower, and never faster.
    rates = [max(one.rate for one in rounds) for rounds in (alone, among)]
    busy = [max(one.busy for one in rounds) for rounds in (alone, among)]
    return [
        Figure("work_conserving_alone", rates[0], "jobs/s"),
        Figure("work_conserving_among_idle", rates[1], "jobs/s"),
        at_least("work_conserving_ratio", rates[1] / rates[0], "x", AS_MUCH),
        Figure("work_conserving_slots_busy_alone", busy[0], "of the slots"),
        at_least("work_conserving_slots_busy", busy[1], "of the slots", AS_MUCH * busy[0]),
    ]


def _round(system: Live, tenant: UUID, port: int) -> Round:
    """Run the jobs; the slots are looked at while there are jobs waiting for them."""
    before = system.count(tenant, "succeeded")
    system.queue({tenant: [JOB] * JOBS})
    wait_until(lambda: system.count(tenant, "running") >= SLOTS, "the jobs do not run")
    first = _scrape(port)
    wait_until(lambda: system.count(tenant, "queued") < SLOTS, "the queue does not empty")
    last = _scrape(port)
    wait_until(lambda: system.count(tenant, "succeeded") == before + JOBS, "the jobs do not end")
    jobs = ended(system.system.database_url, [tenant])[before:]
    seconds = max(job.finished for job in jobs) - min(job.started for job in jobs)
    # Each step draws one token for each text that runs.
    texts = (last[TEXTS] - first[TEXTS]) / (last[STEPS] - first[STEPS])
    return Round(JOBS / seconds, texts / SLOTS)


def _scrape(port: int) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    pairs = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
    return {name.partition("{")[0]: float(value) for name, _, value in pairs}


def _free_ports() -> tuple[int, int]:
    """Return two ports that are free, each with the next one, which is the scheduler's."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = int(one.getsockname()[1])
        return port, port + 2
