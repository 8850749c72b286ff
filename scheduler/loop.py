"""The loop: runs each duty when it is due, and keeps one duty's trouble from the others."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from prometheus_client import Counter, Histogram

log = logging.getLogger(__name__)

DONE = Counter("quire_scheduler_items", "Things a duty has dealt with.", ["duty"])
FAILED = Counter("quire_scheduler_failures", "Runs of a duty that failed.", ["duty"])
SECONDS = Histogram("quire_scheduler_seconds", "Length of a duty's run.", ["duty"])


@dataclass(frozen=True)
class Duty:
    """Something to do every so often. `run` returns how many things it dealt with, and bounds them itself.

    Every duty must be safe to run in several processes at once, and to miss any number of times. `close` leaves to
    others what a run has begun.
    """

    name: str
    every: float  # seconds
    run: Callable[[], int]
    close: Callable[[], None] = lambda: None


class Loop:
    def __init__(self, duties: Sequence[Duty], clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due = dict.fromkeys(duties, clock())

    def run(self, stop: threading.Event) -> None:
        """Run duties until `stop`, and close them."""
        while not stop.wait(self.step()):
            pass
        for duty in self._due:
            try:
                duty.close()
            except Exception:
                log.exception("duty not closed", extra={"action": "duty_not_closed", "duty": duty.name})

    def step(self) -> float:
        """Run what is due; returns the seconds until something is."""
        for duty, due in self._due.items():
            if due <= self._clock():
                self._do(duty)
                self._due[duty] = self._clock() + duty.every
        return max(0.0, min(self._due.values()) - self._clock())

    def _do(self, duty: Duty) -> None:
        try:
            with SECONDS.labels(duty.name).time():
                done = duty.run()
        except Exception:
            FAILED.labels(duty.name).inc()
            log.exception("duty failed", extra={"action": "duty_failed", "duty": duty.name})
            return
        DONE.labels(duty.name).inc(done)
        if done:
            log.info("duty done", extra={"action": "duty_done", "duty": duty.name, "items": done})
