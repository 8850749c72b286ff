"""Quotas as a tenant sees them: 429 problems that say what is left and when there is more."""

import re
from typing import Any

from flask import Flask

from api import rates, responses
from api.app import create_app
from quire.queue import Publisher
from quire.settings import Settings
from quire.testing import FakePublisher
from tests.contract.client import Api, fields, problem, shown
from tests.contract.conftest import Hub


def limited(app: Flask, operator: Api, **limits: Any) -> tuple[Api, str]:
    """A tenant with limits: its client, and its id."""
    tenant = shown(operator.post("/v1/tenants", json={"name": "limited", **limits}))
    key = shown(operator.post(f"/v1/tenants/{tenant['id']}/keys", json={}))
    return Api(app, key["secret"]), tenant["id"]


def test_a_request_too_many_says_when_to_come_back(app: Flask, operator: Api) -> None:
    api, _ = limited(app, operator, max_requests_per_minute=2)
    assert [api.get("/v1/jobs").status_code for _ in range(2)] == [200, 200]

    answer = api.get("/v1/jobs")

    problem(answer, 429, "rate_limited")
    assert answer.headers["RateLimit-Policy"] == '"requests";q=2;w=60'
    told = re.fullmatch(r'"requests";r=0;t=(\d+)', answer.headers["RateLimit"])
    assert told
    assert int(answer.headers["Retry-After"]) >= int(told[1]) > 0


def test_each_answer_tells_how_many_requests_are_left(app: Flask, operator: Api) -> None:
    api, _ = limited(app, operator, max_requests_per_minute=100)

    left = [re.match(r'"requests";r=(\d+);', api.get("/v1/jobs").headers["RateLimit"]) for _ in range(3)]

    assert [match and int(match[1]) for match in left] == [99, 98, 97]


def test_a_tenant_without_limits_is_told_of_none(api: Api) -> None:
    assert "RateLimit" not in api.get("/v1/jobs").headers


def test_the_requests_of_one_tenant_are_not_counted_for_another(app: Flask, operator: Api, api: Api) -> None:
    other, _ = limited(app, operator, max_requests_per_minute=1)
    other.get("/v1/jobs")

    assert other.get("/v1/jobs").status_code == 429
    assert api.get("/v1/jobs").status_code == 200


def test_processes_count_together_while_redis_is_there(
    settings: Settings, redis_url: str, operator: Api, app: Flask
) -> None:
    together = settings.model_copy(update={"redis_url": type(settings.redis_url)(redis_url)})
    first, second = (create_app(together, publisher=FakePublisher(), notices=Hub()) for _ in range(2))
    api, _ = limited(app, operator, max_requests_per_minute=3)

    statuses = [Api(one, api.secret).get("/v1/jobs").status_code for one in (first, second, first, second)]

    for one in (first, second):
        one.extensions["quire"].database.close()
    assert statuses == [200, 200, 200, 429]


def test_a_minute_later_there_is_a_new_allowance(app: Flask, operator: Api, monkeypatch: Any) -> None:
    api, _ = limited(app, operator, max_requests_per_minute=1)
    limiter = app.extensions["quire"].authenticator._rates
    moment = [1000.0]
    monkeypatch.setattr(limiter, "_clock", lambda: moment[0])
    assert [api.get("/v1/jobs").status_code for _ in range(2)] == [200, 429]

    moment[0] += rates.WINDOW

    assert api.get("/v1/jobs").status_code == 200


def test_the_tokens_of_a_day_are_refused_with_what_is_left(app: Flask, operator: Api) -> None:
    api, _ = limited(app, operator, max_tokens_per_day=100)
    api.submitted(max_tokens=50)

    answer = api.submit(max_tokens=50)

    problem(answer, 429, "daily_tokens_exceeded")
    left = 100 - 50 - len("Once upon a time")
    assert answer.headers["RateLimit-Policy"] == '"tokens";q=100;w=86400'
    assert answer.headers["RateLimit"].startswith(f'"tokens";r={left};t=')


def test_a_limit_is_changed_without_a_restart(app: Flask, operator: Api) -> None:
    api, tenant = limited(app, operator, max_requests_per_minute=1, max_queued=1)
    api.submitted()
    assert api.submit().status_code == 429

    changed = operator.request(
        "PATCH", f"/v1/tenants/{tenant}", json={"max_requests_per_minute": None, "max_queued": 2}
    )

    assert responses.Tenant.model_validate(shown(changed)).max_requests_per_minute is None
    assert api.submit().status_code == 202
    assert shown(api.submit())["code"] == "quota_exceeded"


def test_a_change_names_the_field_that_is_wrong(app: Flask, operator: Api) -> None:
    _, tenant = limited(app, operator)

    answer = operator.request("PATCH", f"/v1/tenants/{tenant}", json={"max_running": 0, "weight": None})

    problem(answer, 400, "invalid_field")
    assert fields(answer) == {"max_running", "weight"}


def test_what_a_change_leaves_out_stays(app: Flask, operator: Api) -> None:
    _, tenant = limited(app, operator, weight=3, max_running=7)

    changed = shown(operator.request("PATCH", f"/v1/tenants/{tenant}", json={"paused": True}))

    assert (changed["weight"], changed["max_running"], changed["paused"]) == (3.0, 7, True)


def test_a_change_of_a_tenant_that_is_not_there_is_404(operator: Api) -> None:
    problem(operator.request("PATCH", "/v1/tenants/ten_" + "0" * 32, json={}), 404)


def test_usage_tells_what_is_reserved_and_what_is_left(app: Flask, operator: Api) -> None:
    api, tenant = limited(app, operator, max_tokens_per_day=1000)
    api.submitted(max_tokens=50)

    report = shown(api.get("/v1/usage"))

    reserved = 50 + len("Once upon a time")
    (line,) = report["data"]
    assert (line["model"], line["reserved_tokens"], line["total_tokens"]) == ("tiny", reserved, 0)
    assert report["today"]["remaining_tokens"] == 1000 - reserved
    assert shown(operator.get(f"/v1/tenants/{tenant}/usage")) == report


def test_usage_of_days_in_the_wrong_order_is_refused(api: Api) -> None:
    answer = api.get("/v1/usage?first_day=2026-11-23&last_day=2026-11-22")

    problem(answer, 400, "invalid_field")
    assert fields(answer) == {"last_day"}


def test_usage_of_too_many_days_is_refused(api: Api) -> None:
    assert fields(api.get("/v1/usage?first_day=2020-01-01&last_day=2026-01-01")) == {"first_day"}


def test_a_publisher_is_made_where_none_is_given(settings: Settings) -> None:
    made = create_app(settings).extensions["quire"]

    assert isinstance(made.submissions._intake.publisher, Publisher)
    assert made.submissions._intake is made.bulk_submissions._intake
