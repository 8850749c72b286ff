"""Follow one job by long polls: the server holds its answer back until there is something to say."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from quire_client.clock import Clock, Deadline
from quire_client.errors import WaitTimeoutError
from quire_client.job import Job

HOLD_SECONDS = 30  # below the idle time-outs of common proxies
PAUSE_SECONDS = 1.0  # between polls of a server that holds nothing back and asks for no other pause


@dataclass(frozen=True)
class Look:
    """One answer about a job."""

    job: Job | None  # None: unchanged
    etag: str | None
    held: bool  # the server did hold it back, or would have
    retry_after: float | None


class Looker(Protocol):
    def __call__(self, *, etag: str | None, hold: int, within: float | None, patient: bool) -> Look: ...


def follow(job_id: str, look: Looker, clock: Clock, *, every_change: bool, timeout: float | None) -> Iterator[Job]:
    """Yield the job as it is seen, the last time when it is terminal.

    Args:
        job_id: named in the error.
        look: asks once; `hold` 0 asks for an answer at once.
        clock: of the deadline and the pauses.
        every_change: each new state or text; otherwise the server is asked for the end alone.
        timeout: seconds; None waits as long as it takes.

    Raises:
        WaitTimeoutError: the time is over and the job is not.

    """
    deadline = Deadline(clock, timeout)
    etag, state, answered = None, "unfinished", False
    while True:
        at_once = every_change and not answered  # the first look says where the job stands
        hold = 0 if at_once else int(deadline.at_most(HOLD_SECONDS))
        seen = look(etag=etag, hold=hold, within=deadline.left, patient=answered)
        answered = True
        if seen.job is not None:
            yield seen.job
            if seen.job.is_terminal:
                return
            state = seen.job.state
            etag = seen.etag if every_change else None
        if deadline.passed:
            raise WaitTimeoutError(job_id, state, timeout or 0)
        if not seen.held and not at_once:
            clock.sleep(deadline.at_most(PAUSE_SECONDS if seen.retry_after is None else seen.retry_after))
