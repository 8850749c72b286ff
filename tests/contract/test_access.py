from typing import Any

import pytest
from flask import Flask
from pydantic import SecretStr

from api.app import create_app
from quire import testing
from quire.settings import Settings
from quire.testing import FakePublisher, Place
from tests.contract.client import ADMIN_TOKEN, Api, add_key, problem, shown

OPERATORS = [
    ("GET", "/v1/tenants"),
    ("POST", "/v1/tenants"),
    ("GET", "/v1/tenants/ten_0"),
    ("GET", "/v1/tenants/ten_0/keys"),
    ("POST", "/v1/tenants/ten_0/keys"),
    ("DELETE", "/v1/tenants/ten_0/keys/key_0"),
]
TENANTS = [
    ("GET", "/v1/jobs"),
    ("POST", "/v1/jobs"),
    ("GET", "/v1/jobs/job_0"),
    ("GET", "/v1/jobs/job_0/output"),
    ("POST", "/v1/jobs/job_0/cancel"),
    ("DELETE", "/v1/jobs/job_0"),
    ("GET", "/v1/models"),
]


@pytest.mark.parametrize(("method", "path"), TENANTS + OPERATORS)
def test_nothing_is_told_without_a_credential(shared: Any, method: str, path: str) -> None:
    answer = shared.app.test_client().open(path, method=method)

    problem(answer, 401, "unauthenticated")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(("method", "path"), OPERATORS)
def test_a_tenants_key_does_not_open_the_operators_routes(shared: Any, method: str, path: str) -> None:
    problem(shared.api.request(method, path), 401, "unauthenticated")


def test_the_operators_token_does_not_open_a_tenants_routes(shared: Any) -> None:
    problem(shared.operator.get("/v1/jobs"), 401, "unauthenticated")


def test_a_key_with_another_secret_is_refused(app: Flask, place: Place) -> None:
    secret = add_key(place.database, place.tenant)
    other = add_key(place.database, place.tenant)
    forged = f"{secret[:15]}_{other[16:]}"

    assert Api(app, secret).get("/v1/jobs").status_code == 200
    for wrong in (
        forged,
        secret[:-1],
        secret + "x",
        secret.upper(),
        secret[:15],
        "qk_" + "a" * 12 + "_" + "b" * 43,
    ):
        problem(Api(app, wrong).get("/v1/jobs"), 401, "unauthenticated")


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic {key}", "{key}", "Token {key}", "Bearer  x y"])
def test_another_scheme_is_refused(app: Flask, place: Place, header: str) -> None:
    sent = header.format(key=add_key(place.database, place.tenant))
    answer = app.test_client().get("/v1/jobs", headers={"Authorization": sent})
    problem(answer, 401, "unauthenticated")


def test_the_scheme_is_read_in_any_case(app: Flask, place: Place) -> None:
    sent = f"bearer  {add_key(place.database, place.tenant)}"
    assert app.test_client().get("/v1/jobs", headers={"Authorization": sent}).status_code == 200


@pytest.mark.parametrize("token", [None, SecretStr("")])
def test_without_a_token_the_operators_routes_are_closed(
    settings: Settings, place: Place, hub: Any, token: SecretStr | None
) -> None:
    closed = settings.model_copy(update={"admin_token": token})
    app = create_app(closed, database=place.database, publisher=FakePublisher(), notices=hub)
    for sent in ("", ADMIN_TOKEN):
        problem(Api(app, sent).get("/v1/tenants"), 403, "forbidden")


def test_models_are_told_to_any_key(api: Api, place: Place) -> None:
    with place.database.service() as session:
        testing.add_model(session, "another", context_length=64)
        testing.add_worker(session)
        testing.add_worker(session, lease=-1.0)

    another, tiny = shown(api.get("/v1/models"))["data"]
    assert (another["id"], another["workers"], another["default"]) == ("another", 0, False)
    created = tiny.pop("created")
    assert isinstance(created, int)
    assert tiny == {
        "id": "tiny", "object": "model", "owned_by": "quire", "context_length": 512, "vocab_size": 257,
        "kind": "text", "renders": [], "sampling": {}, "numerics": "fake", "workers": 1, "default": True,
    }  # fmt: skip
