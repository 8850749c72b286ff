"""When to ask again, and after how long."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import count

import httpx

from quire_client.clock import Clock, Deadline

STATUSES = frozenset({409, 429, 502, 503, 504})
# These come from this side of the wire and will not change by themselves.
HOPELESS = (httpx.UnsupportedProtocol, httpx.LocalProtocolError)


def retry_after(response: httpx.Response) -> float | None:
    """Seconds asked for by `Retry-After`, in either of its two forms; None without it."""
    value = response.headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None


@dataclass(frozen=True)
class Retry:
    """Exponential back-off with jitter. Times in seconds.

    A server that asks for more than `longest_asked` is taken at its word: nothing is tried sooner
    than it asked, so the error goes to the caller at once and carries `retry_after`.
    """

    attempts: int = 4
    first: float = 0.5
    longest: float = 8.0
    longest_asked: float = 60.0
    jitter: Callable[[], float] = random.random

    def patient(self) -> "Retry":
        """For a wait that has already had an answer: minutes of outage must not end it."""
        return replace(self, attempts=max(self.attempts, 30), longest=max(self.longest, 15.0))

    def never(self) -> "Retry":
        return replace(self, attempts=1)

    def pause(self, attempt: int, outcome: httpx.Response | httpx.TransportError) -> float | None:
        """Seconds before the attempt after this one (counted from 1); None: it stands."""
        if attempt >= self.attempts or not _may_pass(outcome):
            return None
        backoff = min(self.longest, self.first * 2.0 ** (attempt - 1)) * (1 + self.jitter()) / 2
        asked = retry_after(outcome) if isinstance(outcome, httpx.Response) else None
        if asked is None:
            return backoff
        # A little more than asked, so that many clients do not come back in the same instant.
        return None if asked > self.longest_asked else asked + self.first * self.jitter()


def _may_pass(outcome: httpx.Response | httpx.TransportError) -> bool:
    if isinstance(outcome, httpx.Response):
        return outcome.status_code in STATUSES and outcome.headers.get("x-should-retry") != "false"
    return not isinstance(outcome, HOPELESS)


def persist(
    call: Callable[[], httpx.Response], retry: Retry, clock: Clock, deadline: Deadline
) -> tuple[httpx.Response, int]:
    """Call until the outcome stands, tries run out or the deadline is too near for another.

    Returns:
        The last response, and how many calls it took.

    Raises:
        httpx.TransportError: of the last call, where it had no response.

    """
    for attempt in count(1):
        outcome: httpx.Response | httpx.TransportError
        try:
            outcome = call()
        except httpx.TransportError as error:
            outcome = error
        pause = retry.pause(attempt, outcome)
        if pause is None or deadline.at_most(pause) < pause:
            break
        clock.sleep(pause)
    if isinstance(outcome, httpx.TransportError):
        raise outcome
    return outcome, attempt
