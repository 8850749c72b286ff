"""Everything that can go wrong, in one tree. A docstring is the default message.

QuireError
├── ConfigurationError            an address, a key or a part is missing
│   └── MissingCredentialError    no API key, or no operator's token
├── ConnectionFailedError         no answer: refused, broken off or too late
├── UnexpectedAnswerError         an answer, but not one of this API
├── WaitTimeoutError              the wait ended before the job did
├── JobEndedError                 the job ended without success
│   ├── JobFailedError
│   ├── JobCancelledError
│   └── JobExpiredError
└── APIError                      the server answered with an error
    ├── BadRequestError           400, and any 4xx that has no class of its own
    │   └── KeyReusedError        422, an Idempotency-Key with another body
    ├── AuthenticationError       401
    ├── PermissionDeniedError     403
    ├── NotFoundError             404
    ├── ConflictError             409
    ├── GoneError                 410
    ├── QuotaExceededError        429
    └── ServerError               500, and any other 5xx
        └── UnavailableError      502, 503, 504
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar


class QuireError(Exception):
    """Something went wrong."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").split("\n", maxsplit=1)[0])


class ConfigurationError(QuireError):
    """The client is not set up."""


class MissingCredentialError(ConfigurationError):
    """No credential was given."""


class ConnectionFailedError(QuireError):
    """The server could not be reached."""


class UnexpectedAnswerError(QuireError):
    """The answer is not one of this API; is the address right?"""


class WaitTimeoutError(QuireError):
    """The wait ended before the job did. The job goes on."""

    def __init__(self, job_id: str, state: str, seconds: float) -> None:
        self.job_id = job_id
        self.state = state
        super().__init__(f"{job_id} is still {state} after {seconds:g} s")


class JobEndedError(QuireError):
    """The job ended without success.

    `code` and `message` are the job's own `error`, empty where it has none.
    """

    def __init__(self, job_id: str, state: str, *, code: str = "", message: str = "") -> None:
        self.job_id = job_id
        self.state = state
        self.code = code
        self.message = message
        super().__init__(": ".join(part for part in (f"{job_id} {state}", code, message) if part))

    @staticmethod
    def of(job_id: str, state: str, *, code: str = "", message: str = "") -> "JobEndedError":
        return _BY_STATE.get(state, JobEndedError)(job_id, state, code=code, message=message)


class JobFailedError(JobEndedError):
    """The job failed."""


class JobCancelledError(JobEndedError):
    """The job was cancelled."""


class JobExpiredError(JobEndedError):
    """The job's deadline passed before it was finished."""


_BY_STATE: Mapping[str, type[JobEndedError]] = {
    "failed": JobFailedError,
    "cancelled": JobCancelledError,
    "expired": JobExpiredError,
}


@dataclass(frozen=True)
class FieldProblem:
    """One thing wrong with one field; `field` is a dotted path, as `stop.0`; `line`: in a file that was sent."""

    field: str
    message: str
    line: int | None = None


class APIError(QuireError):
    """The server answered with an error.

    `status` is HTTP's, `code` the API's, `retry_after` in seconds, `request_id` what the operator's
    logs call this request.
    """

    statuses: ClassVar[frozenset[int]] = frozenset()

    def __init__(
        self,
        detail: str | None = None,
        *,
        status: int,
        code: str = "",
        fields: tuple[FieldProblem, ...] = (),
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = str(self)
        self.status = status
        self.code = code
        self.fields = fields
        self.request_id = request_id
        self.retry_after = retry_after


class BadRequestError(APIError):
    """The request is not one that the server takes."""

    statuses = frozenset({400})


class KeyReusedError(BadRequestError):
    """The Idempotency-Key was used before, with another body."""

    statuses = frozenset({422})


class AuthenticationError(APIError):
    """The API key is missing, unknown or revoked."""

    statuses = frozenset({401})


class PermissionDeniedError(APIError):
    """The API key lacks the scope that this needs."""

    statuses = frozenset({403})


class NotFoundError(APIError):
    """No such thing, or not yours."""

    statuses = frozenset({404})


class ConflictError(APIError):
    """The state of the thing forbids this."""

    statuses = frozenset({409})


class GoneError(APIError):
    """It was there, and has been deleted."""

    statuses = frozenset({410})


class QuotaExceededError(APIError):
    """A limit of the tenant is reached."""

    statuses = frozenset({429})


class ServerError(APIError):
    """The server failed."""


class UnavailableError(ServerError):
    """The server cannot answer right now."""

    statuses = frozenset({502, 503, 504})


_BY_STATUS: Mapping[int, type[APIError]] = {
    status: kind
    for kind in (
        BadRequestError,
        KeyReusedError,
        AuthenticationError,
        PermissionDeniedError,
        NotFoundError,
        ConflictError,
        GoneError,
        QuotaExceededError,
        UnavailableError,
    )
    for status in kind.statuses
}


def kind_of(status: int) -> type[APIError]:
    """Return the class for an HTTP status of 400 or more."""
    return _BY_STATUS.get(status, ServerError if status >= 500 else BadRequestError)
