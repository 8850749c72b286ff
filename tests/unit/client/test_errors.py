"""Every answer that is not the one hoped for has its class, and keeps what the server said."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

import quire_client as client

Make = Callable[..., Any]

PROBLEM: dict[str, Any] = {
    "title": "Bad Request",
    "status": 400,
    "code": "invalid_field",
    "detail": "max_tokens: Input should be greater than or equal to 1",
    "fields": [{"field": "max_tokens", "message": "Input should be greater than or equal to 1"}],
    "error": {"message": "…", "type": "invalid_request_error"},
}
STAYS = {"x-should-retry": "false"}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, client.BadRequestError),
        (401, client.AuthenticationError),
        (403, client.PermissionDeniedError),
        (404, client.NotFoundError),
        (405, client.BadRequestError),
        (409, client.ConflictError),
        (410, client.GoneError),
        (413, client.BadRequestError),
        (415, client.BadRequestError),
        (422, client.KeyReusedError),
        (429, client.QuotaExceededError),
        (500, client.ServerError),
        (502, client.UnavailableError),
        (503, client.UnavailableError),
        (504, client.UnavailableError),
        (507, client.ServerError),
    ],
)
def test_each_status_has_its_class(connect: Make, script: Make, status: int, kind: type[Exception]) -> None:
    server = script(httpx.Response(status, json={"detail": "no"}, headers=STAYS))

    with pytest.raises(client.APIError) as caught:
        connect(server).jobs.get("job_1")
    assert type(caught.value) is kind
    assert caught.value.status == status


def test_an_error_keeps_what_the_server_said(connect: Make, script: Make) -> None:
    headers = {"x-request-id": "req_9", "Retry-After": "2", "Content-Type": "application/problem+json"}
    server = script(httpx.Response(400, json=PROBLEM, headers=headers))

    with pytest.raises(client.BadRequestError) as caught:
        connect(server).jobs.submit("Once", max_tokens=0)
    error = caught.value
    assert str(error) == error.detail == PROBLEM["detail"]
    assert (error.code, error.request_id, error.retry_after) == ("invalid_field", "req_9", 2)
    assert error.fields == (client.FieldProblem("max_tokens", PROBLEM["fields"][0]["message"]),)


@pytest.mark.parametrize("body", ["<html>Bad Gateway</html>", "", "[1, 2]", '"no"'])
def test_a_proxys_page_is_an_error_too(connect: Make, script: Make, body: str) -> None:
    server = script(httpx.Response(502, text=body, headers=STAYS))

    with pytest.raises(client.UnavailableError, match="502 Bad Gateway"):
        connect(server).jobs.get("job_1")


@pytest.mark.parametrize(
    "body", ["<html>hello</html>", "[]", "{}", '{"id": "job_1", "state": "x", "created_at": 5}']
)
def test_an_answer_of_something_else_is_not_taken_for_a_job(connect: Make, script: Make, body: str) -> None:
    server = script(httpx.Response(200, text=body))

    with pytest.raises(client.UnexpectedAnswerError, match="GET /v1/jobs/job_1"):
        connect(server).jobs.get("job_1")


def test_a_redirect_is_not_followed_with_the_key(connect: Make, script: Make) -> None:
    server = script(httpx.Response(302, headers={"Location": "https://elsewhere.test/"}))

    with pytest.raises(client.UnexpectedAnswerError, match="answered 302"):
        connect(server).jobs.get("job_1")


@pytest.mark.parametrize(
    ("call", "variable"),
    [
        (lambda quire: quire.jobs.get("job_1"), "QUIRE_API_KEY"),
        (lambda quire: quire.tenants.create("reader"), "QUIRE_ADMIN_TOKEN"),
    ],
)
def test_a_missing_credential_is_named_before_anything_is_sent(
    connect: Make, script: Make, call: Callable[[client.Quire], object], variable: str
) -> None:
    with pytest.raises(client.MissingCredentialError, match=variable):
        call(connect(script(), api_key="", admin_token=""))


def test_every_class_stands_in_the_drawn_tree() -> None:
    drawn = client.errors.__doc__

    missing = [name for name in vars(client) if name.endswith("Error") and name not in drawn]

    assert missing == []
