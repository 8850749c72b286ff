"""Every route of the OpenAPI document with every credential there is: who gets in, and who is told what."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import text

from api.openapi import document
from quire import testing
from tests.contract.client import ADMIN_TOKEN, add_key

METHODS = ("get", "post", "put", "patch", "delete")
OPERATIONS = [
    (method, path, item[method])
    for path, item in document()["paths"].items()
    for method in METHODS
    if method in item
]
READ, WRITE = "jobs:read", "jobs:write"
CREDENTIALS = ("none", "unknown", "revoked", "read", "write", "both", "suspended", "operator")


@dataclass(frozen=True)
class Keys:
    tokens: Mapping[str, str]


@pytest.fixture(scope="module")
def keys(shared: Any) -> Keys:
    database, tenant = shared.place.database, shared.place.tenant
    with database.service() as session:
        idle = testing.add_tenant(session)
        session.execute(text("UPDATE tenants SET suspended_at = now() WHERE id = :id"), {"id": idle.id})
    revoked = add_key(database, tenant)
    with database.service() as session:
        session.execute(
            text("UPDATE api_keys SET revoked_at = now() WHERE prefix = :prefix"), {"prefix": revoked[:15]}
        )
    return Keys(
        {
            "none": "",
            "unknown": "qk_" + "z" * 12 + "_" + "z" * 43,
            "revoked": revoked,
            "read": add_key(database, tenant, READ),
            "write": add_key(database, tenant, WRITE),
            "both": add_key(database, tenant, READ, WRITE),
            "suspended": add_key(database, idle),
            "operator": ADMIN_TOKEN,
        }
    )


def needed(operation: dict[str, Any]) -> str:
    """What the document says that a route needs: nothing, the operator, any key, or a scope."""
    (security,) = operation.get("security", [{"nothing": []}])
    (scheme,) = security
    if scheme != "key":
        return str(scheme)
    return str(operation["description"].removeprefix("Scope: ").removesuffix("."))


def expected(need: str, credential: str) -> tuple[int, str] | None:
    """The refusal that a credential gets; None if it opens the route."""
    if need == "nothing":
        return None
    if need == "operator":
        return None if credential == "operator" else (401, "unauthenticated")
    if credential in {"none", "unknown", "revoked", "operator"}:
        return 401, "unauthenticated"
    if credential == "suspended":
        return 403, "tenant_suspended"
    scopes = {"read": {READ}, "write": {WRITE}, "both": {READ, WRITE}}[credential]
    return None if need == "any key" or need in scopes else (403, "forbidden")


@pytest.mark.parametrize("credential", CREDENTIALS)
@pytest.mark.parametrize(
    ("method", "path", "operation"), OPERATIONS, ids=[f"{method} {path}" for method, path, _ in OPERATIONS]
)
def test_a_route_opens_for_whom_the_document_says(
    shared: Any, keys: Keys, method: str, path: str, operation: dict[str, Any], credential: str
) -> None:
    token = keys.tokens[credential]
    headers = {"Authorization": f"Bearer {token}"} if token else {}

    answer = shared.app.test_client().open(path, method=method.upper(), headers=headers)

    refusal = expected(needed(operation), credential)
    if refusal:
        assert (answer.status_code, answer.json["code"]) == refusal
    else:
        assert answer.status_code not in {401, 403}


def test_every_route_under_v1_needs_a_credential() -> None:
    assert all(needed(operation) != "nothing" for _, path, operation in OPERATIONS if path.startswith("/v1"))


def test_both_scopes_and_the_operator_guard_something() -> None:
    assert {needed(operation) for _, _, operation in OPERATIONS} == {
        "nothing", "any key", "operator", READ, WRITE
    }  # fmt: skip
