"""What only a request that waits for its jobs can meet, and what OpenAI's clients know by another status."""

from http import HTTPStatus
from typing import ClassVar

from quire.errors import NotFound, QuireError, Unavailable


class ModelNotFound(NotFound):
    """There is no such model for texts; GET /v1/models lists them."""

    code = "model_not_found"


class ClientLeft(QuireError):
    """The client went away before the end."""

    status = HTTPStatus.BAD_REQUEST  # nobody reads it
    code = "client_left"


class Stopping(Unavailable):
    """The server stops; what was being made was cancelled."""

    code = "stopping"


class Unfinished(QuireError):
    """What was asked for did not end; sent again unchanged it would meet the same."""

    status: ClassVar[HTTPStatus] = HTTPStatus.INTERNAL_SERVER_ERROR


class TookTooLong(Unfinished):
    """The server waits no longer for an answer; what was being made was cancelled."""

    status = HTTPStatus.GATEWAY_TIMEOUT
    code = "took_too_long"


class JobFailed(Unfinished):
    """The job failed."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code  # type: ignore[misc] # the job's own


class JobCancelled(Unfinished):
    """The job was cancelled by another request."""

    status = HTTPStatus.CONFLICT
    code = "job_cancelled"
