"""What the exit code of every command means."""

from enum import IntEnum

from quire_client import errors


class Exit(IntEnum):
    OK = 0
    JOB_ENDED = 1
    USAGE = 2
    REFUSED = 3
    NOT_FOUND = 4
    UNAVAILABLE = 5
    TIMEOUT = 6
    INTERRUPTED = 130  # 128 + SIGINT, as shells have it


MEANINGS = {
    Exit.OK: "done",
    Exit.JOB_ENDED: "the job failed, expired or was cancelled",
    Exit.USAGE: "wrong usage, or a request that the server does not take",
    Exit.REFUSED: "the credential is missing, unknown or lacks a scope",
    Exit.NOT_FOUND: "no such thing",
    Exit.UNAVAILABLE: "the server is out of reach, fails, or takes no more now: try later",
    Exit.TIMEOUT: "the time for waiting is over; the job goes on",
    Exit.INTERRUPTED: "interrupted",
}


class UsageError(errors.QuireError):
    """The command line makes no sense."""


# The first that fits, a class standing for those below it; what is not here is USAGE.
_OF = (
    (errors.JobEndedError, Exit.JOB_ENDED),
    (errors.MissingCredentialError, Exit.REFUSED),
    (errors.AuthenticationError, Exit.REFUSED),
    (errors.PermissionDeniedError, Exit.REFUSED),
    (errors.NotFoundError, Exit.NOT_FOUND),
    (errors.GoneError, Exit.NOT_FOUND),
    (errors.ConnectionFailedError, Exit.UNAVAILABLE),
    (errors.UnexpectedAnswerError, Exit.UNAVAILABLE),
    (errors.QuotaExceededError, Exit.UNAVAILABLE),
    (errors.ServerError, Exit.UNAVAILABLE),
    (errors.WaitTimeoutError, Exit.TIMEOUT),
)


def exit_of(error: errors.QuireError) -> Exit:
    return next((code for kind, code in _OF if isinstance(error, kind)), Exit.USAGE)
