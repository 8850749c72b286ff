"""Everything that can go wrong, in one tree. A docstring is the default message.

QuireError
├── BadRequest                 400
│   ├── InvalidField           400  one or more fields, each named
│   ├── InvalidJSON            400
│   ├── InvalidCursor          400
│   ├── UnknownModel           400
│   └── PromptTooLong          400
├── Unauthenticated            401
├── Forbidden                  403
│   └── TenantSuspended        403
├── NotFound                   404
├── Conflict                   409
│   └── IdempotencyKeyInUse    409
├── Gone                       410
├── BodyTooLarge               413
├── RangeNotSatisfiable        416
├── UnsupportedMediaType       415
├── IdempotencyKeyReused       422
├── QuotaExceeded              429
│   ├── DailyTokensExceeded    429
│   └── RateLimited            429
├── TooManyFailures            429
├── Unavailable                503
│   ├── ModelNotReady          503
│   ├── StorageFull            503
│   ├── ReadOnly               503
│   └── TooManyReaders         503
├── FormUnfit                  told of a failed job, never over HTTP
├── TuneFailed                 why a job failed, never over HTTP
├── BookFailed                 why a job failed, never over HTTP
└── ConfigurationError         raised at start, never over HTTP
    └── UndecryptableError     a key is missing from the ring, or the data was changed
"""

from dataclasses import dataclass
from http import HTTPStatus
from typing import ClassVar

from quire.quotas import Allowance


@dataclass(frozen=True)
class FieldProblem:
    """One thing wrong with one field; `field` is a dotted path, as `stop.0`; `line`: in a file that was sent."""

    field: str
    message: str
    line: int | None = None


class QuireError(Exception):
    """Something went wrong."""

    status: ClassVar[HTTPStatus] = HTTPStatus.INTERNAL_SERVER_ERROR
    code: ClassVar[str] = "internal_error"
    retry_after: int | None = None  # seconds; also tells clients whether a retry can help

    def __init__(self, detail: str | None = None, *, fields: tuple[FieldProblem, ...] = ()) -> None:
        self.detail = detail or (type(self).__doc__ or "").split("\n", maxsplit=1)[0]
        self.fields = fields
        super().__init__(self.detail)


class BadRequest(QuireError):
    """The request cannot be understood."""

    status = HTTPStatus.BAD_REQUEST
    code = "bad_request"


class InvalidField(BadRequest):
    """A field is unknown, missing, of the wrong type or out of range."""

    code = "invalid_field"

    @classmethod
    def one(cls, field: str, message: str) -> "InvalidField":
        return cls(f"{field}: {message}", fields=(FieldProblem(field, message),))


class InvalidJSON(BadRequest):
    """The body is not valid JSON in UTF-8."""

    code = "invalid_json"


class InvalidCursor(BadRequest):
    """The cursor was not issued by this server."""

    code = "invalid_cursor"


class UnknownModel(BadRequest):
    """No such model."""

    code = "unknown_model"


class PromptTooLong(BadRequest):
    """The prompt and the tokens asked for do not fit the model's context."""

    code = "prompt_too_long"


class Unauthenticated(QuireError):
    """The API key is missing, unknown or revoked."""

    status = HTTPStatus.UNAUTHORIZED
    code = "unauthenticated"


class Forbidden(QuireError):
    """The API key lacks the scope that this route needs."""

    status = HTTPStatus.FORBIDDEN
    code = "forbidden"


class TenantSuspended(Forbidden):
    """The tenant is suspended: its keys are refused until its operator lets it go on."""

    code = "tenant_suspended"


class NotFound(QuireError):
    """No such thing, or not yours."""

    status = HTTPStatus.NOT_FOUND
    code = "not_found"


class Conflict(QuireError):
    """The state of the thing forbids this."""

    status = HTTPStatus.CONFLICT
    code = "conflict"


class IdempotencyKeyInUse(Conflict):
    """The first request with this Idempotency-Key is still being answered."""

    code = "idempotency_key_in_use"
    retry_after = 1


class Gone(QuireError):
    """What this key created has been deleted."""

    status = HTTPStatus.GONE
    code = "gone"


class BodyTooLarge(QuireError):
    """The body is larger than this server accepts."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    code = "body_too_large"


class RangeNotSatisfiable(QuireError):
    """The range begins behind the end."""

    status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
    code = "range_not_satisfiable"

    def __init__(self, size: int | None = None) -> None:
        told = "" if size is None else f" There are {size} bytes."
        super().__init__(f"The range begins behind the end.{told}")
        self.size = size  # bytes; None: it may yet grow


class UnsupportedMediaType(QuireError):
    """The body must be sent as application/json."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    code = "unsupported_media_type"


class IdempotencyKeyReused(QuireError):
    """The Idempotency-Key was used before, with another body."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    code = "idempotency_key_reused"


class QuotaExceeded(QuireError):
    """The tenant's quota is used up."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    code = "quota_exceeded"

    retry_after = 30

    def __init__(self, detail: str | None = None, allowance: Allowance | None = None) -> None:
        super().__init__(detail)
        self.allowance = allowance
        if allowance is not None:
            self.retry_after = allowance.reset


class DailyTokensExceeded(QuotaExceeded):
    """The tenant's tokens of this day are used up, or reserved."""

    code = "daily_tokens_exceeded"


class RateLimited(QuotaExceeded):
    """The tenant sends more requests than it may."""

    code = "rate_limited"


class TooManyFailures(QuireError):
    """Too many attempts with bad keys came from this address, or with the prefix of this key."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    code = "too_many_failures"
    retry_after = 60

    @classmethod
    def until(cls, seconds: int) -> "TooManyFailures":
        """Return it with the seconds that are left of this minute."""
        error = cls()
        error.retry_after = seconds
        return error


class Unavailable(QuireError):
    """The service cannot answer right now; a retry will help."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "unavailable"
    retry_after = 2


class ModelNotReady(Unavailable):
    """The model is configured, but no worker has loaded it yet."""

    code = "model_not_ready"


class TooManyReaders(Unavailable):
    """The server holds as many waiting requests as it may."""

    code = "too_many_readers"


class StorageFull(Unavailable):
    """The database has no room left. Nothing was stored of this request."""

    code = "storage_full"
    retry_after = 30


class ReadOnly(Unavailable):
    """The database takes no writes right now. Nothing was stored of this request."""

    code = "read_only"
    retry_after = 10


class FormUnfit(QuireError):
    """The tokens of the model cannot write this form."""

    code = "form_unfit"

    @classmethod
    def because(cls, reason: str) -> "FormUnfit":
        return cls(f"The model cannot write this form: {reason}.")


class TuneFailed(QuireError):
    """A tune was not right however often it was drawn."""

    code = "tune_failed"


class BookFailed(QuireError):
    """No token was left to go on with: guard.no_repeat or logit_bias forbid all."""

    code = "book_failed"


class ConfigurationError(QuireError):
    """A setting is missing or wrong."""

    code = "configuration_error"


class UndecryptableError(ConfigurationError):
    """Data at rest cannot be opened: its key is missing from the ring, or it was changed."""

    code = "undecryptable"
