"""Every error as application/problem+json (RFC 9457) that an OpenAI client can read as well."""

import json
import logging
from http import HTTPStatus

from flask import Flask, Response, g, request
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from werkzeug.exceptions import HTTPException
from werkzeug.exceptions import MethodNotAllowed as WrongMethod

from api import problems, rates
from api.openai.errors import Unfinished
from quire.errors import (
    BadRequest,
    BodyTooLarge,
    Conflict,
    NotFound,
    QuireError,
    QuotaExceeded,
    RangeNotSatisfiable,
    ReadOnly,
    StorageFull,
    Unavailable,
    UndecryptableError,
)

log = logging.getLogger(__name__)

PROBLEM = "application/problem+json"
OPENAI_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class MethodNotAllowed(QuireError):
    """The address does not answer that method."""

    status = HTTPStatus.METHOD_NOT_ALLOWED
    code = "method_not_allowed"


class Internal(QuireError):
    """Something went wrong on the server; the operator finds it in the log by the request's id."""


class Undecryptable(Internal):
    """The server cannot open this data; the operator finds why in the log."""

    code = "undecryptable"


# By SQLSTATE: what an operator must mend, and a client need only try again.
TROUBLE: dict[str | None, type[Unavailable]] = {
    "53100": StorageFull,  # disk_full
    "25006": ReadOnly,  # read_only_sql_transaction: a standby, or an operator's choice
}


def answer_errors(app: Flask) -> None:
    """Answer everything that is raised in this app."""
    app.register_error_handler(QuireError, _quire_error)
    app.register_error_handler(HTTPException, _http_exception)
    app.register_error_handler(DBAPIError, _database_error)
    app.register_error_handler(PoolTimeoutError, _database_error)
    app.register_error_handler(Exception, _unexpected)


def body(error: QuireError, instance: str) -> str:
    """Return the problem document of an error."""
    status = HTTPStatus(error.status)
    if isinstance(error, QuotaExceeded) and error.allowance is not None:
        rates.tell(error.allowance)
    kind = OPENAI_TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    param = error.fields[0].field if error.fields else None
    described = problems.Problem(
        title=status.phrase,
        status=status,
        code=error.code,
        detail=error.detail,
        instance=instance,
        fields=[
            problems.WrongField(field=item.field, message=item.message, line=item.line) for item in error.fields
        ],
        error=problems.OpenAIError(message=error.detail, type=kind, param=param, code=error.code),
    )
    # In ASCII: a name that somebody sent may hold what UTF-8 cannot.
    return json.dumps(dict(described), default=_plain)


def _plain(part: problems.WrongField | problems.OpenAIError) -> dict[str, object]:
    """Only what is wrong in a file has a line."""
    return part.model_dump(exclude_none=isinstance(part, problems.WrongField))


def problem(error: QuireError) -> Response:
    """Return the answer for an error."""
    status = HTTPStatus(error.status)
    answer = Response(body(error, request.path), status, mimetype=PROBLEM)
    if error.retry_after is not None:
        answer.headers["Retry-After"] = str(error.retry_after)
    elif isinstance(error, Conflict | Unfinished):
        answer.headers["X-Should-Retry"] = "false"  # or clients of OpenAI's make try this one again by themselves
    if isinstance(error, RangeNotSatisfiable):
        answer.headers["Content-Range"] = f"bytes */{'*' if error.size is None else error.size}"
    if status == HTTPStatus.UNAUTHORIZED:
        answer.headers["WWW-Authenticate"] = "Bearer"
    return answer


def _quire_error(error: QuireError) -> Response:
    if isinstance(error, UndecryptableError):
        log.error("undecryptable", extra={"action": "undecryptable", "error": error.detail})
        return problem(Undecryptable())
    if error.status >= 500 and not isinstance(error, Unavailable | Unfinished):
        return _unexpected(error)
    if isinstance(error, Unavailable):
        log.warning("unavailable", extra={"action": "unavailable", "error": str(error.__cause__ or error)})
    return problem(error)


def _http_exception(error: HTTPException) -> Response:
    """Answer what Flask raises by itself: no such address, wrong method, body too large."""
    if isinstance(error, WrongMethod):
        answer = problem(MethodNotAllowed())
        answer.headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))
        return answer
    if error.code == HTTPStatus.NOT_FOUND:
        return problem(NotFound("There is nothing at this address."))
    if error.code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return problem(BodyTooLarge())
    if 400 <= (error.code or 500) < 500:
        return problem(BadRequest(error.description))
    return _unexpected(error)


def _database_error(error: DBAPIError | PoolTimeoutError) -> Response:
    """Answer for a Postgres that is away, restarting, overloaded or full; any other failure is a bug of ours."""
    if isinstance(error, DBAPIError) and (trouble := TROUBLE.get(getattr(error.orig, "sqlstate", None))):
        log.error(trouble.code, extra={"action": trouble.code, "error": str(error.orig)})
        return problem(trouble())
    lost = isinstance(error, DBAPIError) and error.connection_invalidated
    if not (lost or isinstance(error, OperationalError | InterfaceError | PoolTimeoutError)):
        return _unexpected(error)
    cause = error.orig if isinstance(error, DBAPIError) else error  # without the statement and its values
    log.warning("postgres away", extra={"action": "postgres_away", "error": str(cause)})
    return problem(Unavailable("The database does not answer right now; a retry will help."))


def _unexpected(error: Exception) -> Response:
    log.error("unexpected", exc_info=error, extra={"action": "unexpected", "request_id": g.request_id})
    return problem(Internal())
