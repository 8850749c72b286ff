"""How much the API takes: single submits, ten thousand jobs in one request, and polls beside a thousand waiters.

Clients and server share the same cores, and the worker goes on with the jobs meanwhile.
"""

import json
import resource
import select
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any
from urllib.request import urlopen

from bench.engine.driver import say
from bench.fairness.figures import Figure, at_least, percentile
from bench.fairness.live import PROMPT, Customer, Live, live, wait_until
from bench.fairness.options import Options
from bench.fairness.talking import Talker, hold

CLIENTS = 8
WAITERS = 1_000
HELD_JOBS = 100
WAIT_SECONDS = 120
BULK = 10_000
BULK_ROUNDS = 3
NOT_THERE = (404, 405)
DESCRIPTORS = 8_192
MILLISECONDS = 1_000
TINY: dict[str, Any] = {"prompt": PROMPT, "max_tokens": 1}


def measure(options: Options) -> list[Figure]:
    _raise_descriptors()
    seats = {"QUIRE_MAX_WAITERS": str(WAITERS + 100), "QUIRE_MAX_WAIT_SECONDS": str(WAIT_SECONDS)}
    with live(options, "rates", **seats) as system:
        (customer,) = system.customers(1, "rates")
        (bulk,) = system.customers(1, "bulk", max_queued=1_000_000)
        figures = _polls(options, system, customer)
        figures += _submits(options, system, customer)
        figures += _bulk(system, bulk)
    return figures


def _submits(options: Options, system: Live, customer: Customer) -> list[Figure]:
    body = json.dumps(TINY).encode()
    times = _repeat(system, customer, options.seconds, lambda talker: talker.send("POST", "/v1/jobs", body), 202)
    return [
        Figure("rates_submit", len(times) / options.seconds, "jobs/s"),
        Figure("rates_submit_p50", MILLISECONDS * median(times), "ms"),
        Figure("rates_submit_p99", MILLISECONDS * percentile(times, 0.99), "ms"),
    ]


def _bulk(system: Live, customer: Customer) -> list[Figure]:
    body = json.dumps({"jobs": [TINY | {"seed": seed} for seed in range(BULK)]}).encode()
    rates = []
    for _ in range(BULK_ROUNDS):
        talker = Talker(system.system.url, customer.key)
        begun = time.perf_counter()
        status, text = talker.send("POST", "/v1/jobs/bulk", body)
        seconds = time.perf_counter() - begun
        talker.close()
        if status in NOT_THERE:
            say("there is no route for many jobs in one request: not measured")
            return []
        if status not in (200, 201, 202):
            raise RuntimeError(f"POST /v1/jobs/bulk: {status} {text[:500].decode(errors='replace')}")
        rates.append(BULK / seconds)
    return [Figure("rates_bulk_submit", median(rates), "jobs/s"), Figure("rates_bulk_body", len(body), "bytes")]


def _polls(options: Options, system: Live, customer: Customer) -> list[Figure]:
    """Measure plain polls, with nobody waiting and with a thousand, and how soon these hear of the end."""
    talker = Talker(system.system.url, customer.key)
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    held = [talker.asked("POST", "/v1/jobs", 202, TINY | {"not_before": later})["id"] for _ in range(HELD_JOBS)]
    path = f"/v1/jobs/{held[0]}"

    def poll(one: Talker) -> tuple[int, bytes]:
        return one.send("GET", path)

    nobody = _repeat(system, customer, options.seconds, poll, 200)
    waiting = [
        hold(system.system.url, customer.key, f"/v1/jobs/{held[number % HELD_JOBS]}", WAIT_SECONDS)
        for number in range(WAITERS)
    ]
    begun = time.monotonic()
    wait_until(
        lambda: _seated(system.system.url) >= WAITERS, "the thousand do not get their seats", WAIT_SECONDS / 2
    )
    say(f"{WAITERS} wait after {time.monotonic() - begun:.1f} s")
    thousand = _repeat(system, customer, options.seconds, poll, 200)
    for job in held:
        talker.asked("POST", f"/v1/jobs/{job}/cancel", 200)
    begun = time.perf_counter()
    answered = _answered(waiting)
    told = time.perf_counter() - begun
    talker.close()
    return [
        Figure("rates_poll", len(nobody) / options.seconds, "polls/s"),
        Figure("rates_poll_p50", MILLISECONDS * median(nobody), "ms"),
        Figure("rates_poll_p99", MILLISECONDS * percentile(nobody, 0.99), "ms"),
        Figure("rates_poll_beside_1000", len(thousand) / options.seconds, "polls/s"),
        Figure("rates_poll_beside_1000_p50", MILLISECONDS * median(thousand), "ms"),
        Figure("rates_poll_beside_1000_p99", MILLISECONDS * percentile(thousand, 0.99), "ms"),
        at_least("rates_waiters_answered", answered, "of 1,000", WAITERS),
        Figure("rates_waiters_told_after", told, "s"),
    ]


def _repeat(
    system: Live, customer: Customer, seconds: float, ask: Callable[[Talker], tuple[int, bytes]], expected: int
) -> list[float]:
    """Ask from several connections without pause; returns the seconds of each answer."""
    end = threading.Event()

    def one(_: int) -> list[float]:
        talker = Talker(system.system.url, customer.key)
        times = []
        while not end.is_set():
            begun = time.perf_counter()
            status, text = ask(talker)
            times.append(time.perf_counter() - begun)
            if status != expected:
                raise RuntimeError(f"{status} {text.decode(errors='replace')}")
        talker.close()
        return times

    with ThreadPoolExecutor(CLIENTS) as pool:
        running = [pool.submit(one, number) for number in range(CLIENTS)]
        time.sleep(seconds)
        end.set()
        return [seconds for times in running for seconds in times.result()]


def _seated(url: str) -> float:
    with urlopen(f"{url}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("quire_http_waiters "))


def _answered(waiting: Sequence[socket.socket]) -> int:
    """Return how many of the waiters get a 200 before their time is over."""
    poller = select.poll()
    left = {one.fileno(): one for one in waiting}
    for number in left:
        poller.register(number, select.POLLIN)
    until, good = time.monotonic() + WAIT_SECONDS, 0
    while left and time.monotonic() < until:
        for number, _ in poller.poll(1_000):
            poller.unregister(number)
            with left.pop(number) as one:
                good += one.recv(64).startswith(b"HTTP/1.1 200 ")
    for one in left.values():
        one.close()
    return good


def _raise_descriptors() -> None:
    """Allow a socket for each waiter, here and in the processes that are started from here."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
