"""One tenant floods the queue, fifty send one job each: how much longer do the fifty wait?

The fifty arrive together over HTTP, without the flood and then beside it; what counts is when the last of them has
finished. A job that runs is not interrupted for another, so what stands for a preemption interval is the length of
one running job.
"""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import median

from bench.engine.driver import say
from bench.fairness.figures import Figure, at_least, at_most
from bench.fairness.live import PROMPT, SLOTS, Ask, Customer, Live, live, wait_until
from bench.fairness.options import Options
from bench.fairness.served import ended

FEW = 50
JOB = Ask(tokens=256)
ROUNDS = 3
TIMES = 2.0
WAIT_SECONDS = 600.0


def measure(options: Options) -> list[Figure]:
    with live(options, "flood") as system:
        few = system.customers(FEW, "few")
        (greedy,) = system.customers(1, "greedy")
        _together(few)  # warm
        alone = [_together(few) for _ in range(ROUNDS)]
        system.queue({greedy.tenant: [JOB] * options.flood_jobs})
        wait_until(lambda: system.count(greedy.tenant, "running") >= SLOTS, "the flood does not run")
        beside = [_together(few) for _ in range(ROUNDS)]
        left = system.count(greedy.tenant, "queued")
        interval = _longest(system, greedy)
    say(f"together {alone}, beside the flood {beside}, the longest job of the flood {interval:.2f} s")
    base, last = median(alone), max(beside)
    return [
        Figure("flood_fifty_alone", base, "s"),
        Figure("flood_interval", interval, "s"),
        at_most("flood_fifty_beside", last, "s", TIMES * base + interval),
        Figure("flood_fifty_ratio", last / base, "x"),
        at_least("flood_left_at_the_end", left, "jobs", 1),
    ]


def _together(customers: Sequence[Customer]) -> float:
    """Let each hand in one job at the same moment; returns the seconds until the last one had finished."""
    barrier = threading.Barrier(len(customers) + 1)

    def one(number: int) -> float:
        jobs = customers[number].client.jobs
        barrier.wait()
        job = jobs.submit(PROMPT, max_tokens=JOB.tokens, min_tokens=JOB.tokens, seed=number)
        done = jobs.wait(job.id, timeout=WAIT_SECONDS)
        if done.state != "succeeded" or done.finished_at is None:
            raise RuntimeError(f"a job ended as {done.state}: {done.error}")
        return done.finished_at.timestamp()

    with ThreadPoolExecutor(len(customers)) as pool:
        waiting = [pool.submit(one, number) for number in range(len(customers))]
        barrier.wait()
        begun = time.time()
        return max(job.result() for job in waiting) - begun


def _longest(system: Live, greedy: Customer) -> float:
    jobs = ended(system.system.database_url, [greedy.tenant])
    return max(job.finished - job.started for job in jobs)
