import logging
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask

from api.app import create_app
from quire import testing
from quire.database import Database
from quire.settings import Settings
from quire.testing import FakePublisher
from tests.contract.client import Api, problem


@pytest.fixture
def broken(settings: Settings, hub: Any) -> Iterator[Flask]:
    """An app whose Postgres is not there."""
    database = Database("postgresql+psycopg://nobody:hidden@127.0.0.1:1/none", name="test", connect_timeout=1)
    yield create_app(settings, database=database, publisher=FakePublisher(), notices=hub)
    database.close()


def test_a_problem_is_both_of_the_rfc_and_of_openai(shared: Any) -> None:
    answer = shared.api.submit(max_tokens=0)

    assert problem(answer, 400) == {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "code": "invalid_field",
        "detail": "max_tokens: Input should be greater than or equal to 1",
        "instance": "/v1/jobs",
        "fields": [{"field": "max_tokens", "message": "Input should be greater than or equal to 1"}],
        "error": {
            "message": "max_tokens: Input should be greater than or equal to 1",
            "type": "invalid_request_error",
            "param": "max_tokens",
            "code": "invalid_field",
        },
    }


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/", "/v1/jobs/", "//v1/jobs", "/v1/nothing", "/static/x", "/v1/\udcff"]
)
def test_an_address_that_is_none_is_not_found(shared: Any, path: str) -> None:
    problem(shared.api.get(path.encode(errors="surrogateescape").decode("latin-1")), 404, "not_found")


@pytest.mark.parametrize(("method", "path"), [("PUT", "/v1/jobs"), ("POST", "/healthz"), ("OPTIONS", "/v1/jobs")])
def test_another_method_is_told_which_there_are(shared: Any, method: str, path: str) -> None:
    answer = shared.api.request(method, path)

    problem(answer, 405, "method_not_allowed")
    assert "GET" in answer.headers["Allow"]


def test_a_sane_request_id_is_kept(shared: Any) -> None:
    answer = shared.api.get("/v1/jobs", headers={"X-Request-Id": "abc-1:2.3_x"})
    assert answer.headers["X-Request-Id"] == "abc-1:2.3_x"


@pytest.mark.parametrize("sent", ["", "a b", "x" * 129, 'a"b', "é", "<script>"])
def test_another_request_id_is_replaced(shared: Any, sent: str) -> None:
    answer = shared.api.get("/v1/jobs", headers={"X-Request-Id": sent})
    assert answer.headers["X-Request-Id"] != sent
    assert len(answer.headers["X-Request-Id"]) == 32


@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/nothing", "/healthz", "/docs"])
def test_every_answer_is_guarded(shared: Any, path: str) -> None:
    headers = shared.api.get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert headers["Cache-Control"]
    assert "Access-Control-Allow-Origin" not in headers


def test_without_postgres_the_answer_is_to_come_back(broken: Flask) -> None:
    answer = Api(broken, "qk_" + "a" * 12 + "_" + "b" * 43).get("/v1/jobs")

    problem(answer, 503, "unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert "127.0.0.1" not in answer.text


def test_without_a_free_connection_the_answer_is_to_come_back(
    settings: Settings, postgres_url: str, hub: Any
) -> None:
    database = Database(testing.sqlalchemy_url(postgres_url), name="test", pool_size=1)
    database.engine.pool._timeout = 0.1  # type: ignore[attr-defined]
    app = create_app(settings, database=database, publisher=FakePublisher(), notices=hub)
    with database.service():
        answer = Api(app, "qk_" + "a" * 12 + "_" + "b" * 43).get("/v1/jobs")
    database.close()

    problem(answer, 503, "unavailable")
    assert int(answer.headers["Retry-After"]) > 0


def test_what_goes_wrong_inside_is_logged_and_not_told(
    app: Flask, api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def explode(*_: object, **__: object) -> None:
        raise ZeroDivisionError("the secret reason")

    monkeypatch.setattr(app.extensions["quire"].reader, "page", explode)
    with caplog.at_level(logging.ERROR):
        answer = api.get("/v1/jobs", headers={"X-Request-Id": "find-me"})

    problem(answer, 500, "internal_error")
    assert "secret reason" not in answer.text
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_info is not None
    assert vars(record)["request_id"] == "find-me"


def test_a_job_sealed_by_a_lost_key_is_an_error_that_tells_nothing(app: Flask, api: Api) -> None:
    job = api.submitted()["id"]
    reader = app.extensions["quire"].reader
    reader._ring = testing.KeyRing.parse("other:" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVoxMjM0NTY=")

    answer = api.get(f"/v1/jobs/{job}")
    problem(answer, 500, "undecryptable")
    assert "master" not in answer.text
