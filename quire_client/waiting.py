"""Wait for the end of one job by long polls: the server holds its answer back until then."""

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

    job: Job
    held: bool  # the server did hold it back, or would have
    retry_after: float | None


class Looker(Protocol):
    def __call__(self, hold: int, within: float | None, *, patient: bool) -> Look: ...


def wait_for_end(job_id: str, look: Looker, clock: Clock, *, timeout: float | None) -> Job:
    """Return the job once it is terminal.

    Args:
        job_id: named in the error.
        look: asks once.
        clock: of the deadline and the pauses.
        timeout: seconds; None waits as long as it takes.

    Raises:
        WaitTimeoutError: the time is over and the job is not.

    """
    deadline = Deadline(clock, timeout)
    answered = False
    while True:
        seen = look(int(deadline.at_most(HOLD_SECONDS)), deadline.left, patient=answered)
        answered = True
        if seen.job.is_terminal:
            return seen.job
        if deadline.passed:
            raise WaitTimeoutError(job_id, seen.job.state, timeout or 0)
        if not seen.held:
            clock.sleep(deadline.at_most(PAUSE_SECONDS if seen.retry_after is None else seen.retry_after))
