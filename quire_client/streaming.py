"""Follow one job by its events, over as many connections as it takes."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Protocol

import httpx

from quire_client.clock import Clock, Deadline
from quire_client.errors import WaitTimeoutError
from quire_client.events import Event, StateEvent, TextEvent, TruncateEvent, frames, parse
from quire_client.job import UNFINISHED

QUIET_SECONDS = 45.0  # three times what the server lets pass without a word
PAUSE_SECONDS = 0.5  # before coming back


class Listen(Protocol):
    def __call__(
        self, after: str | None, hold: float | None, *, patient: bool
    ) -> AbstractContextManager[Iterator[str]]:
        """Open the stream behind an event, for `hold` seconds at most."""
        ...


def follow_events(
    job_id: str, listen: Listen, clock: Clock, *, after: str | None, timeout: float | None
) -> Iterator[Event]:
    """Yield the events of a job behind the one of the id `after`, up to its end.

    What a new connection says of the job as it stands is told only if it is new.

    Raises:
        WaitTimeoutError: `timeout` seconds have passed and the job goes on.

    """
    deadline = Deadline(clock, timeout)
    told: dict[type[Event], Event] = {}
    answered = False
    while not deadline.passed:
        try:
            with listen(after, deadline.left, patient=answered) as lines:
                answered = True
                for frame in frames(lines):
                    after = frame.id or after
                    event = parse(frame)
                    if event is None or told.get(type(event)) == event:
                        continue
                    if not isinstance(event, TextEvent | TruncateEvent):
                        told[type(event)] = event
                    yield event
                    if isinstance(event, StateEvent) and event.state not in UNFINISHED:
                        return
        except httpx.TransportError:
            pass  # it broke off: what matters is how far it came
        clock.sleep(deadline.at_most(PAUSE_SECONDS))
    last = told.get(StateEvent)
    raise WaitTimeoutError(job_id, last.state if isinstance(last, StateEvent) else "unfinished", timeout or 0)
