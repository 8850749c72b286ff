"""Suspending, resuming and deleting a tenant, as the operator and the tenant see it."""

from typing import Any

import pytest

from api import responses
from quire import ids, tenants
from quire.testing import Place
from tests.contract.client import Api, problem, shown


@pytest.fixture
def path(place: Place) -> str:
    return f"/v1/tenants/{ids.show(ids.TENANT, place.tenant.id)}"


def test_a_suspended_tenants_keys_are_refused_at_the_next_request(api: Api, operator: Api, path: str) -> None:
    job = api.submitted()["id"]

    suspended = shown(operator.post(f"{path}/suspend"))

    assert suspended["suspended_at"] is not None
    assert operator.get(path).json == suspended
    for answer in (api.get("/v1/jobs"), api.get(f"/v1/jobs/{job}"), api.submit(), api.get("/v1/models")):
        problem(answer, 403, "tenant_suspended")


def test_a_bad_key_does_not_learn_that_a_tenant_is_suspended(api: Api, operator: Api, path: str) -> None:
    operator.post(f"{path}/suspend")

    answer = api.get("/v1/jobs", headers={"Authorization": f"Bearer {api.secret[:-1]}x"})

    problem(answer, 401, "unauthenticated")


def test_a_resumed_tenant_finds_everything_as_it_was(api: Api, operator: Api, path: str) -> None:
    job = api.submitted()
    operator.post(f"{path}/suspend")

    resumed = shown(operator.post(f"{path}/resume"))

    assert resumed["suspended_at"] is None
    assert api.job(job["id"])["state"] == "queued"
    assert api.submit().status_code == 202


def test_another_tenant_notices_nothing(stranger: Api, operator: Api, path: str) -> None:
    operator.post(f"{path}/suspend")

    assert stranger.get("/v1/jobs").status_code == 200


def test_deleting_needs_a_suspension(operator: Api, path: str) -> None:
    answer = operator.delete(path)

    problem(answer, 409, "conflict")
    assert answer.headers["X-Should-Retry"] == "false"


def test_a_deletion_answers_with_its_receipt(api: Api, operator: Api, path: str, place: Place) -> None:
    api.submitted()
    operator.post(f"{path}/suspend")

    answer = operator.delete(path, headers={"X-Request-Id": "audit-7"})

    assert answer.status_code == 200, answer.text
    receipt = shown(answer)
    assert responses.Receipt.model_validate(receipt)
    assert (receipt["tenant_id"], receipt["request_id"], receipt["completed_at"]) == (
        path.rpartition("/")[2], "audit-7", None
    )  # fmt: skip
    assert len(receipt["key_fingerprint"]) == 64
    problem(api.get("/v1/jobs"), 401, "unauthenticated")
    assert shown(operator.get(path))["deleted_at"] is not None
    problem(operator.post(f"{path}/resume"), 409, "conflict")
    problem(operator.post(f"{path}/keys", json={}), 409, "conflict")


def test_the_receipt_outlives_the_tenant(operator: Api, path: str, place: Place) -> None:
    operator.post(f"{path}/suspend")
    operator.delete(path)
    with place.database.service() as session:
        tenants.erase(session)

    problem(operator.get(path), 404, "not_found")
    receipt = shown(operator.get(f"{path}/receipt"))
    assert receipt["completed_at"] is not None
    assert operator.delete(path).json == receipt


def test_a_living_tenant_has_no_receipt(operator: Api, path: str) -> None:
    problem(operator.get(f"{path}/receipt"), 404, "not_found")


@pytest.mark.parametrize("owner", ["ten_" + "0" * 32, "x"])
@pytest.mark.parametrize(
    ("method", "action"), [("POST", "/suspend"), ("POST", "/resume"), ("DELETE", ""), ("GET", "/receipt")]
)
def test_a_tenant_that_is_none_is_not_found(shared: Any, owner: str, method: str, action: str) -> None:
    problem(shared.operator.request(method, f"/v1/tenants/{owner}{action}"), 404, "not_found")


def test_a_retention_is_asked_for_and_told(api: Api, operator: Api) -> None:
    made = shown(operator.post("/v1/tenants", json={"name": "press", "retention_days": 30}))
    job = api.submitted(retention_hours=12)

    assert made["retention_days"] == 30
    assert api.job(job["id"])["retention_hours"] == 12
    assert api.submitted()["retention_hours"] is None


@pytest.mark.parametrize("hours", [0, 87_601, 1.5, "1"])
def test_a_retention_out_of_range_is_named(shared: Any, hours: Any) -> None:
    answer = shared.api.submit(retention_hours=hours)

    problem(answer, 400, "invalid_field")
    assert shown(answer)["fields"][0]["field"] == "retention_hours"
