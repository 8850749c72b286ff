"""A tenant's client of an app, and checks that all answers share."""

from collections.abc import Mapping
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api import problems
from api.auth import NewKey
from quire.database import Database
from quire.ids import new_id
from quire.store import ApiKey, Tenant

ADMIN_TOKEN = "operator-token"


def add_key(database: Database, tenant: Tenant, *scopes: str) -> str:
    """Give a tenant an API key; returns its secret."""
    key = NewKey.draw()
    row = ApiKey(
        id=new_id(),
        tenant_id=tenant.id,
        prefix=key.prefix,
        secret_hash=key.digest,
        scopes=list(scopes or ("jobs:read", "jobs:write")),
    )
    with database.service() as session:
        session.add(row)
    return key.secret


class Api:
    """Speaks to an app with one credential."""

    def __init__(self, app: Flask, secret: str) -> None:
        self._http: FlaskClient = app.test_client()
        self.secret = secret
        self._headers = {"Authorization": f"Bearer {secret}"}

    def get(self, path: str, **rest: Any) -> TestResponse:
        return self.request("GET", path, **rest)

    def post(self, path: str, **rest: Any) -> TestResponse:
        return self.request("POST", path, **rest)

    def delete(self, path: str, **rest: Any) -> TestResponse:
        return self.request("DELETE", path, **rest)

    def request(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **rest: Any
    ) -> TestResponse:
        return self._http.open(path, method=method, headers=self._headers | dict(headers or {}), **rest)

    def submit(self, *, headers: Mapping[str, str] | None = None, **body: Any) -> TestResponse:
        """Hand in a job, with a prompt unless it has a form."""
        start = {} if "form" in body or "kind" in body else {"prompt": "Once upon a time"}
        return self.post("/v1/jobs", json=start | body, headers=headers)

    def submitted(self, **body: Any) -> dict[str, Any]:
        answer = self.submit(**body)
        assert answer.status_code == 202, answer.text
        return shown(answer)

    def job(self, job_id: str) -> dict[str, Any]:
        answer = self.get(f"/v1/jobs/{job_id}")
        assert answer.status_code == 200, answer.text
        return shown(answer)


def shown(answer: TestResponse) -> dict[str, Any]:
    value = answer.json
    assert isinstance(value, dict)
    return value


def problem(answer: TestResponse, status: int, code: str | None = None) -> dict[str, Any]:
    """Check that this is an error in the agreed form; returns it."""
    assert answer.status_code == status, answer.text
    assert answer.mimetype == "application/problem+json"
    assert answer.headers["X-Request-Id"]
    value = problems.Problem.model_validate_json(answer.data, strict=True)
    assert value.status == status
    assert value.error.message == value.detail
    assert value.error.code == value.code
    assert value.error.param == (value.fields[0].field if value.fields else None)
    if code is not None:
        assert value.code == code
    return shown(answer)


def fields(answer: TestResponse) -> set[str]:
    """Return the names of the fields that an error blames."""
    return {item["field"] for item in shown(answer)["fields"]}
