"""gunicorn's worker, whose own refusals are problem documents as all other answers are.

What cannot be parsed as HTTP never reaches the app: gunicorn would answer with a page of HTML, and log the line at
fault, which may be the one with the credential.
"""

from errno import ETIMEDOUT
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from gunicorn.http import errors as http
from gunicorn.util import write_nonblock
from gunicorn.workers.gthread import ThreadWorker

from api.errors import PROBLEM, body
from quire.errors import BadRequest, QuireError


class LineTooLong(BadRequest):
    """The address is longer than this server accepts."""

    status = HTTPStatus.REQUEST_URI_TOO_LONG
    code = "uri_too_long"


class HeadersTooLarge(BadRequest):
    """The headers are larger, or more, than this server accepts."""

    status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    code = "headers_too_large"


class UnfitHTTP(BadRequest):
    """The request is no valid HTTP/1.1."""

    code = "invalid_http"


# The first that fits; what is not here is not the client's fault, and gunicorn's to answer.
REFUSALS: tuple[tuple[type[Exception], type[QuireError]], ...] = (
    (http.LimitRequestLine, LineTooLong),
    (http.LimitRequestHeaders, HeadersTooLarge),
    (http.ConfigurationProblem, QuireError),
    (http.ParseException, UnfitHTTP),
)


class Worker(ThreadWorker):  # type: ignore[misc] # gunicorn has no types
    def handle_request(self, req: Any, conn: Any) -> Any:
        try:
            return super().handle_request(req, conn)
        except TimeoutError as error:
            if error.errno != ETIMEDOUT:  # of something else than the connection
                raise
            # gunicorn would log it as an error of its own
            self.log.info("dropped a client that took nothing: %s", req.path)
            return False

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        refusal = next((refusal for kind, refusal in REFUSALS if isinstance(exc, kind)), None)
        if refusal is None:
            super().handle_error(req, client, addr, exc)
            return
        self.log.warning("refused a request: %s", type(exc).__name__)
        try:
            write_nonblock(client, answer(refusal()))
        except OSError:
            self.log.debug("the client is gone")


def answer(error: QuireError) -> bytes:
    """Return a whole response, after which the connection is closed."""
    status = HTTPStatus(error.status)
    content = body(error, "*").encode()
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nConnection: close\r\nContent-Type: {PROBLEM}\r\n"
        f"X-Request-Id: {uuid4().hex}\r\nCache-Control: no-store\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content
