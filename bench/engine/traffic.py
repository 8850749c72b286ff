"""Keeps the whole system busy at a steady pace, with jobs that cost the model next to nothing."""

import itertools
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from quire_client import Quire

THREADS = 4
WAIT_SECONDS = 60.0
# One token of the shipped checkpoint, which is small: the work is that of HTTP, Postgres, Valkey and Celery.
PROMPT, TOKENS = "The rose of morning", 1


@dataclass
class Traffic:
    """How many jobs were made, and in how many seconds."""

    jobs: int = 0
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        return self.jobs / self.seconds if self.seconds else 0.0


@contextmanager
def busy(client: Quire, *, rate: float, traffic: Traffic) -> Iterator[None]:
    """Submit `rate` jobs a second, wait for each and list them, until the end; fewer if the system is slower.

    Raises at the end what a request has raised, since the system was not as busy then as it should have been.
    """
    end = threading.Event()
    begun = time.monotonic()
    with ThreadPoolExecutor(THREADS, thread_name_prefix="traffic") as pool:
        cycles = [pool.submit(_cycle, client, THREADS / rate, end) for _ in range(THREADS)]
        try:
            yield
        finally:
            end.set()
    traffic.jobs += sum(cycle.result() for cycle in cycles)
    traffic.seconds += time.monotonic() - begun


def _cycle(client: Quire, every: float, end: threading.Event) -> int:
    """Return how many jobs were made."""
    begun = time.monotonic()
    for number in itertools.count(1):
        job = client.jobs.submit(PROMPT, max_tokens=TOKENS)
        client.jobs.wait(job.id, timeout=WAIT_SECONDS)
        client.jobs.page(limit=20)
        if end.wait(max(0.0, begun + number * every - time.monotonic())):
            break
    return number
