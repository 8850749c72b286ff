"""One server: its address, the credentials for it, retries, and answers turned into errors."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx

from quire_client import errors
from quire_client.clock import Clock, Deadline
from quire_client.events import lines
from quire_client.retry import Retry, persist, retry_after
from quire_client.version import __version__

CONNECT_SECONDS = 5.0
GRACE_SECONDS = 2.0  # an answer that was held until the deadline still has to travel

Value = TypeVar("Value")
Form = Mapping[str, Any]  # as httpx has it: name to (file name, content, media type)
Params = Mapping[str, str | int | list[str] | None]


class Connection:
    """Send requests. `timeout` is in seconds and does not count the time an answer is held back."""

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None,
        admin_token: str | None,
        transport: httpx.BaseTransport | None,
        timeout: float,
        retry: Retry,
        clock: Clock,
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise errors.ConfigurationError(
                f"the server's address {url!r} does not start with http:// or https://"
            )
        self.url = url.rstrip("/")
        self.clock = clock
        self._api_key = api_key
        self._admin_token = admin_token
        self._timeout = timeout
        self._retry = retry
        self._http = httpx.Client(
            base_url=self.url, transport=transport, headers={"User-Agent": f"quire-client/{__version__}"}
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def send(
        self,
        method: str,
        *path: str,
        operator: bool = False,
        params: Params | None = None,
        body: object = None,
        form: Form | None = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool = True,
        hold: int = 0,
        longer: float = 0.0,
        within: float | None = None,
        patient: bool = False,
    ) -> httpx.Response:
        """Send one request, and again where that is safe (`repeatable`) and promising.

        Args:
            method: as HTTP has it.
            path: its segments below `/v1`, quoted here.
            operator: with the operator's token in place of the API key.
            params: of the query; None is left out.
            body: fit for JSON.
            form: parts of a form, in its place; files are sent as they are read.
            headers: beside those of every request.
            repeatable: a second arrival of the request does no harm.
            hold: seconds that the server may hold its answer back; 0 sends no preference.
            longer: seconds that the answer may take beyond the usual.
            within: seconds after which no further try starts.
            patient: sit out minutes of outage.

        Raises:
            MissingCredentialError: there is nothing to authenticate with.
            ConnectionFailedError: no answer, or none in time.
            UnexpectedAnswerError: a redirect.
            APIError: a subclass of it for every status from 400 up.

        """
        usual = hold + self._timeout + longer
        waiting = usual if within is None else min(usual, within + GRACE_SECONDS)
        request = self._request(
            method, path, operator=operator, params=params, body=body, form=form, headers=headers, hold=hold,
            waiting=waiting,
        )  # fmt: skip
        response, attempts = self._persist(
            lambda: self._http.send(request), repeatable=repeatable, patient=patient, within=within
        )
        if method == "DELETE" and attempts > 1 and response.status_code == HTTPStatus.NOT_FOUND:
            return response  # an earlier try did it and only its answer was lost
        return _checked(response)

    @contextmanager
    def lines(
        self,
        *path: str,
        params: Params | None = None,
        hold: int = 0,
        within: float | None = None,
        quiet: float,
        patient: bool = False,
    ) -> Iterator[Iterator[str]]:
        """GET an answer that has no end, and give its lines as they come. `quiet`: seconds of silence that end it.

        Raises:
            APIError, ConnectionFailedError: as for `send`, before the first line.
            httpx.TransportError: it broke off.

        """
        request = self._request("GET", path, params=params, hold=hold, waiting=quiet)

        def call() -> httpx.Response:
            response = self._http.send(request, stream=True)
            if not response.is_success:
                response.read()
            return response

        response, _ = self._persist(call, repeatable=True, patient=patient, within=within)
        try:
            yield lines(_checked(response).iter_text())
        finally:
            response.close()

    def _request(
        self,
        method: str,
        path: tuple[str, ...],
        *,
        operator: bool = False,
        params: Params | None = None,
        body: object = None,
        form: Form | None = None,
        headers: Mapping[str, str] | None = None,
        hold: int = 0,
        waiting: float,
    ) -> httpx.Request:
        return self._http.build_request(
            method,
            "/v1/" + "/".join(quote(part, safe="") for part in path),
            params={name: value for name, value in (params or {}).items() if value is not None},
            content=None if body is None else json.dumps(body, allow_nan=False),
            files=form,
            headers=self._authorization(operator=operator)
            | ({} if body is None else {"Content-Type": "application/json"})
            | ({"Prefer": f"wait={hold}"} if hold else {})
            | dict(headers or {}),
            timeout=httpx.Timeout(waiting, connect=min(CONNECT_SECONDS, waiting)),
        )

    def _persist(
        self, call: Callable[[], httpx.Response], *, repeatable: bool, patient: bool, within: float | None
    ) -> tuple[httpx.Response, int]:
        retry = self._retry if repeatable else self._retry.never()
        try:
            return persist(
                call,
                retry.patient() if patient else retry,
                self.clock,
                Deadline(self.clock, within),
            )
        except httpx.RequestError as error:
            reason = str(error) or type(error).__name__
            raise errors.ConnectionFailedError(f"no answer from {self.url}: {reason}") from error

    def _authorization(self, *, operator: bool) -> dict[str, str]:
        token = self._admin_token if operator else self._api_key
        if token:
            return {"Authorization": f"Bearer {token}"}
        if operator:
            raise errors.MissingCredentialError("no operator's token: set QUIRE_ADMIN_TOKEN")
        raise errors.MissingCredentialError("no API key: set QUIRE_API_KEY (`quire key create` makes one)")


def read(response: httpx.Response, parse: Callable[[Mapping[str, Any]], Value]) -> Value:
    """Parse a JSON answer.

    Raises:
        UnexpectedAnswerError: it is not JSON, or not of the shape that `parse` expects.

    """
    try:
        return parse(response.json())
    except (ValueError, TypeError, KeyError, AttributeError) as problem:
        where = f"{response.request.method} {response.request.url.path}"
        raise errors.UnexpectedAnswerError(f"{where} gave an answer that is not the API's: {problem}") from problem


def _checked(response: httpx.Response) -> httpx.Response:
    if response.is_success or response.status_code == HTTPStatus.NOT_MODIFIED:
        return response
    if response.status_code < HTTPStatus.BAD_REQUEST:
        raise errors.UnexpectedAnswerError(
            f"{response.request.url} answered {response.status_code}; is the address right?"
        )
    raise _api_error(response)


def _api_error(response: httpx.Response) -> errors.APIError:
    """Read problem+json; anything else (a proxy's page, say) keeps only its status."""
    try:
        body = response.json()
    except ValueError:
        body = None
    problem: dict[str, Any] = body if isinstance(body, dict) else {}
    status = response.status_code
    fields = [item for item in problem.get("fields") or () if isinstance(item, dict)]
    return errors.kind_of(status)(
        str(problem.get("detail") or problem.get("title") or f"{status} {response.reason_phrase}"),
        status=status,
        code=str(problem.get("code") or ""),
        fields=tuple(
            errors.FieldProblem(str(item.get("field", "")), str(item.get("message", "")), item.get("line"))
            for item in fields
        ),
        request_id=response.headers.get("x-request-id"),
        retry_after=retry_after(response),
    )
