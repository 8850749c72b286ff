import hashlib
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from api import responses
from quire.crypto import WrappedKey
from quire.store import ApiKey, Tenant
from quire.testing import RING, Place
from tests.contract.client import Api, fields, problem, shown


def tenant(operator: Api, name: str = "press", **rest: Any) -> dict[str, Any]:
    answer = operator.post("/v1/tenants", json={"name": name} | rest)
    assert answer.status_code == 201, answer.text
    return shown(answer)


def key(operator: Api, owner: str, **body: Any) -> dict[str, Any]:
    answer = operator.post(f"/v1/tenants/{owner}/keys", json=body)
    assert answer.status_code == 201, answer.text
    return shown(answer)


def test_a_tenant_is_made_with_a_data_key_of_its_own(operator: Api, place: Place) -> None:
    made = tenant(operator, "press", weight=2, max_running=3, max_queued=10)

    assert responses.Tenant.model_validate(made)
    assert (made["name"], made["weight"], made["max_running"], made["max_queued"]) == ("press", 2.0, 3, 10)
    assert operator.get(f"/v1/tenants/{made['id']}").json == made
    with place.database.service() as session:
        row = session.scalars(select(Tenant).where(Tenant.name == "press")).one()
    assert len(RING.unwrap(WrappedKey(row.master_key, row.data_key), row.id).secret) == 32


def test_what_is_not_said_has_the_documented_default(operator: Api) -> None:
    made = tenant(operator)
    assert (made["weight"], made["max_running"], made["max_queued"]) == (1.0, None, 100_000)


def test_a_name_is_taken_once(operator: Api) -> None:
    tenant(operator)

    answer = operator.post("/v1/tenants", json={"name": "press"})
    problem(answer, 409, "conflict")
    assert answer.headers["X-Should-Retry"] == "false"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": " "}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "a\x00"}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "\ud800"}, "name"),
        ({"name": 1}, "name"),
        ({"weight": 0}, "weight"),
        ({"weight": "1"}, "weight"),
        ({"weight": 1e9}, "weight"),
        ({"max_running": 0}, "max_running"),
        ({"max_running": 2**31}, "max_running"),
        ({"max_queued": 0}, "max_queued"),
        ({"max_queued": None}, "max_queued"),
        ({"colour": "red"}, "colour"),
    ],
    ids=str,
)
def test_a_bad_field_is_named(shared: Any, body: dict[str, Any], field: str) -> None:
    answer = shared.operator.post("/v1/tenants", json={"name": "press"} | body)
    problem(answer, 400, "invalid_field")
    assert fields(answer) == {field}


def test_tenants_are_listed_in_pages(operator: Api) -> None:
    made = [tenant(operator, f"press {number}")["id"] for number in range(3)]

    first = shown(operator.get("/v1/tenants?limit=2"))
    rest = shown(operator.get(f"/v1/tenants?limit=2&after={first['next_cursor']}"))
    assert [item["id"] for item in first["data"] + rest["data"]][:3] == made[::-1]
    assert (first["has_more"], rest["has_more"], rest["next_cursor"]) == (True, False, None)


def test_a_tenant_is_found_by_its_name(operator: Api) -> None:
    tenant(operator, "press")
    wanted = tenant(operator, "reader")

    assert shown(operator.get("/v1/tenants?name=reader"))["data"] == [wanted]
    assert shown(operator.get("/v1/tenants?name=nobody"))["data"] == []


def test_a_key_is_shown_once_and_kept_as_a_hash(operator: Api, place: Place) -> None:
    owner = tenant(operator)["id"]
    made = key(operator, owner, name="laptop")

    secret = made.pop("secret")
    assert secret.startswith(made["prefix"] + "_")
    assert len(secret) == len("qk_") + 12 + 1 + 43
    assert made["scopes"] == ["jobs:read", "jobs:write"]
    listed = operator.get(f"/v1/tenants/{owner}/keys")
    assert shown(listed)["data"] == [made]
    assert secret not in listed.text
    with place.database.service() as session:
        row = session.scalars(select(ApiKey).where(ApiKey.prefix == made["prefix"])).one()
    assert bytes(row.secret_hash) == hashlib.sha256(secret.encode()).digest()


def test_a_key_opens_what_its_scopes_say(app: Flask, operator: Api) -> None:
    owner = tenant(operator)["id"]
    api = Api(app, key(operator, owner, scopes=["jobs:read"])["secret"])

    assert api.get("/v1/jobs").status_code == 200
    problem(api.submit(), 403, "forbidden")


def test_a_revoked_key_is_refused_at_once(app: Flask, operator: Api) -> None:
    owner = tenant(operator)["id"]
    made = key(operator, owner)
    api = Api(app, made["secret"])
    assert api.get("/v1/jobs").status_code == 200

    path = f"/v1/tenants/{owner}/keys/{made['id']}"
    assert operator.delete(path).status_code == 204
    problem(api.get("/v1/jobs"), 401, "unauthenticated")
    [revoked] = shown(operator.get(f"/v1/tenants/{owner}/keys"))["data"]
    assert revoked["revoked_at"] is not None

    assert operator.delete(path).status_code == 204
    assert shown(operator.get(f"/v1/tenants/{owner}/keys"))["data"] == [revoked]


def test_a_key_is_revoked_only_through_its_own_tenant(app: Flask, operator: Api) -> None:
    made = key(operator, tenant(operator)["id"])
    other = tenant(operator, "other")["id"]

    problem(operator.delete(f"/v1/tenants/{other}/keys/{made['id']}"), 404, "not_found")
    assert Api(app, made["secret"]).get("/v1/jobs").status_code == 200


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"scopes": []}, "scopes"),
        ({"scopes": ["jobs:delete"]}, "scopes.0"),
        ({"scopes": "jobs:read"}, "scopes"),
        ({"name": ""}, "name"),
        ({"secret": "mine"}, "secret"),
    ],
    ids=str,
)
def test_a_bad_field_of_a_key_is_named(operator: Api, body: dict[str, Any], field: str) -> None:
    answer = operator.post(f"/v1/tenants/{tenant(operator)['id']}/keys", json=body)
    problem(answer, 400, "invalid_field")
    assert fields(answer) == {field}


@pytest.mark.parametrize("owner", ["ten_" + "0" * 32, "ten_", "x", "job_" + "0" * 32])
def test_a_tenant_that_is_none_is_not_found(shared: Any, owner: str) -> None:
    operator: Api = shared.operator
    problem(operator.get(f"/v1/tenants/{owner}"), 404, "not_found")
    problem(operator.get(f"/v1/tenants/{owner}/keys"), 404, "not_found")
    problem(operator.post(f"/v1/tenants/{owner}/keys", json={}), 404, "not_found")
    problem(operator.delete(f"/v1/tenants/{owner}/keys/key_{'0' * 32}"), 404, "not_found")
