"""Which failures are tried again, when, and when not."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from quire_client import (
    BadRequestError,
    Clock,
    ConflictError,
    ConnectionFailedError,
    QuotaExceededError,
    Retry,
    ServerError,
    UnavailableError,
)

Make = Callable[..., Any]

REFUSED = httpx.ConnectError("refused")


@pytest.mark.parametrize("status", [409, 429, 502, 503, 504])
def test_a_status_that_may_pass_is_tried_again(connect: Make, script: Make, job: Make, status: int) -> None:
    server = script(httpx.Response(status), httpx.Response(200, json=job()))

    assert connect(server).jobs.get("job_1").id == "job_1"


@pytest.mark.parametrize(
    "failure", [REFUSED, httpx.ReadTimeout("slow"), httpx.RemoteProtocolError("cut"), httpx.ReadError("reset")]
)
def test_a_broken_connection_is_tried_again(connect: Make, script: Make, job: Make, failure: Any) -> None:
    server = script(failure, httpx.Response(200, json=job()))

    assert connect(server).jobs.get("job_1").id == "job_1"


@pytest.mark.parametrize(("status", "kind"), [(400, BadRequestError), (500, ServerError)])
def test_a_status_that_stays_is_not_tried_again(
    connect: Make, script: Make, status: int, kind: type[Exception]
) -> None:
    server = script(httpx.Response(status))

    with pytest.raises(kind):
        connect(server).jobs.get("job_1")
    assert len(server.requests) == 1


def test_a_permanent_conflict_is_not_tried_again(connect: Make, script: Make) -> None:
    server = script(httpx.Response(409, headers={"x-should-retry": "false"}))

    with pytest.raises(ConflictError):
        connect(server).jobs.output("job_1")
    assert len(server.requests) == 1


def test_pauses_double_and_tries_end(connect: Make, script: Make, time: Any) -> None:
    server = script(REFUSED, REFUSED, REFUSED, REFUSED)

    with pytest.raises(ConnectionFailedError, match="refused"):
        connect(server).jobs.get("job_1")
    assert time.sleeps == [0.5, 1.0, 2.0]


def test_jitter_takes_up_to_half_of_a_pause() -> None:
    retry = Retry(attempts=10, first=1.0, longest=8.0, jitter=lambda: 0.0)

    assert [retry.pause(attempt, REFUSED) for attempt in range(1, 6)] == [0.5, 1, 2, 4, 4]


def test_retry_after_sets_the_pause(connect: Make, script: Make, job: Make, time: Any) -> None:
    server = script(httpx.Response(503, headers={"Retry-After": "7"}), httpx.Response(200, json=job()))

    connect(server).jobs.get("job_1")

    assert time.sleeps == [7.5]  # what was asked, and jitter


def test_retry_after_may_be_a_date() -> None:
    past = httpx.Response(503, headers={"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"})

    assert Retry(jitter=lambda: 0.0).pause(1, past) == 0


def test_a_retry_after_that_makes_no_sense_is_ignored() -> None:
    odd = httpx.Response(503, headers={"Retry-After": "soon"})

    assert Retry(jitter=lambda: 1.0).pause(1, odd) == 0.5


def test_a_server_that_asks_for_too_long_is_not_pressed(connect: Make, script: Make, time: Any) -> None:
    server = script(httpx.Response(429, headers={"Retry-After": "3600"}))

    with pytest.raises(QuotaExceededError) as caught:
        connect(server).jobs.get("job_1")
    assert caught.value.retry_after == 3600
    assert time.sleeps == []


def test_every_try_of_a_submit_carries_the_same_key_and_body(connect: Make, script: Make, job: Make) -> None:
    server = script(REFUSED, httpx.Response(502), httpx.Response(202, json=job("queued")))

    connect(server).jobs.submit("Once", n=2)

    keys = {request.headers["Idempotency-Key"] for request in server.requests}
    assert len(server.requests) == 3
    assert len(keys) == 1
    assert server.bodies == [{"prompt": "Once", "n": 2}] * 3


def test_each_submit_has_a_key_of_its_own(connect: Make, script: Make, job: Make) -> None:
    server = script(*[httpx.Response(202, json=job("queued")) for _ in range(2)])
    quire = connect(server)

    quire.jobs.submit("Once")
    quire.jobs.submit("Once")

    first, second = (request.headers["Idempotency-Key"] for request in server.requests)
    assert first != second


@pytest.mark.parametrize("failure", [httpx.Response(503), REFUSED])
def test_what_may_not_arrive_twice_is_sent_once(connect: Make, script: Make, failure: Any) -> None:
    server = script(failure)

    with pytest.raises((UnavailableError, ConnectionFailedError)):
        connect(server).tenants.create("reader")
    assert len(server.requests) == 1


def test_a_delete_whose_answer_was_lost_has_still_deleted(connect: Make, script: Make) -> None:
    server = script(httpx.ReadError("reset"), httpx.Response(404))

    connect(server).jobs.delete("job_1")

    assert [request.method for request in server.requests] == ["DELETE", "DELETE"]


def test_an_address_of_another_kind_is_not_tried_again(connect: Make, script: Make) -> None:
    server = script(httpx.UnsupportedProtocol("no"))

    with pytest.raises(ConnectionFailedError):
        connect(server).jobs.get("job_1")
    assert len(server.requests) == 1


def test_the_default_clock_is_the_real_one() -> None:
    clock = Clock()

    assert clock.now() <= clock.now()
