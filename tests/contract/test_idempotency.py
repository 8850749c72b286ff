from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, tzinfo
from threading import Barrier

import pytest
from flask import Flask
from sqlalchemy import func, select, update

from quire.store import Job, Model, idempotency
from quire.testing import FakePublisher, Place
from tests.contract.client import Api, add_key, problem, shown

KEY = {"Idempotency-Key": "first"}


class FarFuture(datetime):
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> "FarFuture":
        return cls(2950, 1, 1, tzinfo=tz)


def jobs_in(place: Place) -> int | None:
    with place.database.service() as session:
        return session.scalar(select(func.count()).select_from(Job))


def test_a_repeated_request_gets_the_same_job_again(api: Api, place: Place, publisher: FakePublisher) -> None:
    first = api.submit(headers=KEY, theme=None, n=2)
    again = api.submit(headers=KEY, n=2, theme=None)

    assert (first.status_code, again.status_code) == (202, 202)
    assert shown(first)["id"] == shown(again)["id"]
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert jobs_in(place) == 1
    assert publisher.woken == ["tiny"]


@pytest.mark.parametrize("spelled", ['"first"', "first"])
def test_a_key_is_the_same_quoted_or_bare(api: Api, spelled: str) -> None:
    first = api.submit(headers=KEY)
    assert shown(api.submit(headers={"Idempotency-Key": spelled}))["id"] == shown(first)["id"]


def test_another_body_with_the_same_key_is_refused(api: Api, place: Place) -> None:
    api.submit(headers=KEY)

    answer = api.submit(headers=KEY, n=2)
    problem(answer, 422, "idempotency_key_reused")
    assert jobs_in(place) == 1


def test_other_keys_make_other_jobs(api: Api, place: Place) -> None:
    api.submit(headers=KEY)
    api.submit(headers={"Idempotency-Key": "second"})
    api.submit()
    assert jobs_in(place) == 3


def test_keys_of_two_tenants_are_strangers(api: Api, stranger: Api) -> None:
    assert shown(api.submit(headers=KEY))["id"] != shown(stranger.submit(headers=KEY))["id"]


def test_the_key_of_a_deleted_job_is_gone(api: Api, place: Place) -> None:
    job = shown(api.submit(headers=KEY))["id"]
    api.post(f"/v1/jobs/{job}/cancel")
    assert api.delete(f"/v1/jobs/{job}").status_code == 204

    problem(api.submit(headers=KEY), 410, "gone")
    assert jobs_in(place) == 0


def test_an_error_stores_no_key(api: Api) -> None:
    problem(api.submit(headers=KEY, n=0), 400)
    assert api.submit(headers=KEY, n=1).status_code == 202


def test_a_retry_after_the_deadline_still_gets_its_job(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    first = api.submit(headers=KEY, deadline="2900-01-01T00:00:00Z")
    monkeypatch.setattr("quire.asking.request.datetime", FarFuture)

    again = api.submit(headers=KEY, deadline="2900-01-01T00:00:00Z")
    assert (again.status_code, shown(again)["id"]) == (202, shown(first)["id"])
    problem(api.submit(deadline="2900-01-01T00:00:00Z"), 400, "invalid_field")


def test_a_retry_gets_its_job_though_the_model_has_changed(api: Api, place: Place) -> None:
    first = api.submit(headers=KEY, prompt="x" * 300)
    with place.database.service() as session:
        session.execute(update(Model).values(context_length=200))

    assert shown(api.submit(headers=KEY, prompt="x" * 300))["id"] == shown(first)["id"]


def test_a_hundred_requests_at_once_make_one_job(app: Flask, place: Place, publisher: FakePublisher) -> None:
    secret = add_key(place.database, place.tenant)
    start = Barrier(10)

    def ten(_number: int) -> set[tuple[int, str]]:
        api = Api(app, secret)
        start.wait(10)
        answers = [api.submit(headers=KEY) for _ in range(10)]
        return {(answer.status_code, shown(answer)["id"]) for answer in answers}

    with ThreadPoolExecutor(10) as pool:
        seen = set[tuple[int, str]]().union(*pool.map(ten, range(10)))

    assert len(seen) == 1
    assert next(iter(seen))[0] == 202
    assert jobs_in(place) == 1
    assert publisher.woken == ["tiny"]


def test_while_the_first_is_not_committed_the_second_is_told_to_come_back(api: Api, place: Place) -> None:
    row = {"tenant_id": place.tenant.id, "key": "first", "fingerprint": b"", "job_id": place.tenant.id}
    with place.database.tenant(place.tenant.id) as session:
        idempotency.enter(session, **row)

        answer = api.submit(headers=KEY)

    problem(answer, 409, "idempotency_key_in_use")
    assert answer.headers["Retry-After"] == "1"
    assert "X-Should-Retry" not in answer.headers


def test_the_fingerprint_does_not_tell_the_body(api: Api, place: Place) -> None:
    import hashlib

    api.submit(headers=KEY)
    with place.database.tenant(place.tenant.id) as session:
        found = session.execute(idempotency.FIND, {"tenant": place.tenant.id, "key": "first"}).one()
    body = b'{"prompt":"Once upon a time"}'
    assert bytes(found.fingerprint) not in {hashlib.sha256(body).digest(), body}
    assert len(found.fingerprint) == 32
