"""Time as the client sees it. Tests pass their own, so that none of them sleeps."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Clock:
    """Seconds that never go back, and a way to let some pass."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


class Deadline:
    """The end of a wait that starts now; `seconds` of None never ends."""

    def __init__(self, clock: Clock, seconds: float | None) -> None:
        self._clock = clock
        self._end = None if seconds is None else clock.now() + seconds

    @property
    def left(self) -> float | None:
        """Seconds that remain, not below zero; None: no end."""
        return None if self._end is None else max(0.0, self._end - self._clock.now())

    @property
    def passed(self) -> bool:
        return self.left == 0

    def at_most(self, seconds: float) -> float:
        return seconds if self.left is None else min(seconds, self.left)
