"""Long polls: what is asked of the server, what the caller sees, and when it ends."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from quire_client import ConnectionFailedError, WaitTimeoutError

Make = Callable[..., Any]

HELD = {"Preference-Applied": "wait=30"}


def seen(job: dict[str, Any], etag: str, *, held: bool = True, asked: str | None = None) -> httpx.Response:
    """Answer with the job; `asked` is the Retry-After."""
    headers = {"ETag": etag} | (HELD if held else {}) | ({"Retry-After": asked} if asked else {})
    return httpx.Response(200, json=job, headers=headers)


def after(time: Any, seconds: float, answer: httpx.Response) -> Callable[[httpx.Request], httpx.Response]:
    """Let the server hold an answer back."""

    def answering(_request: httpx.Request) -> httpx.Response:
        time.time += seconds
        return answer

    return answering


def test_wait_asks_for_the_end_alone(connect: Make, script: Make, job: Make) -> None:
    server = script(seen(job(), '"1"'), seen(job("succeeded", "The sea"), '"2"'))

    ended = connect(server).jobs.wait("job_1")

    assert ended.text == "The sea"
    assert [request.headers["Prefer"] for request in server.requests] == ["wait=30", "wait=30"]
    assert all("If-None-Match" not in request.headers for request in server.requests)


def test_a_server_that_held_the_answer_is_asked_again_at_once(
    connect: Make, script: Make, job: Make, time: Any
) -> None:
    server = script(seen(job(), '"1"', asked="5"), seen(job("succeeded"), '"2"'))

    connect(server).jobs.wait("job_1")

    assert time.sleeps == []


def test_a_server_that_holds_no_answers_is_asked_when_it_wants(
    connect: Make, script: Make, job: Make, time: Any
) -> None:
    server = script(
        seen(job(), '"1"', held=False, asked="5"),
        seen(job(), '"1"', held=False),
        seen(job("succeeded"), '"2"'),
    )

    connect(server).jobs.wait("job_1")

    assert time.sleeps == [5, 1]


def test_wait_returns_a_job_that_ended_badly(connect: Make, script: Make, job: Make) -> None:
    server = script(seen(job("failed"), '"1"'))

    assert connect(server).jobs.wait("job_1").state == "failed"


def test_wait_ends_at_its_deadline(connect: Make, script: Make, job: Make, time: Any) -> None:
    server = script(
        after(time, 30, seen(job("queued"), '"1"')),
        after(time, 15, seen(job(), '"2"')),
    )

    with pytest.raises(WaitTimeoutError, match="job_1 is still running after 45 s") as caught:
        connect(server).jobs.wait("job_1", timeout=45)
    assert caught.value.job_id == "job_1"
    assert [request.headers["Prefer"] for request in server.requests] == ["wait=30", "wait=15"]


def test_the_last_part_of_a_second_is_slept(connect: Make, script: Make, job: Make, time: Any) -> None:
    server = script(after(time, 1, seen(job(), '"1"')), seen(job(), '"1"', held=False), seen(job(), '"1"'))

    with pytest.raises(WaitTimeoutError):
        connect(server).jobs.wait("job_1", timeout=1.5)
    assert "Prefer" not in server.requests[1].headers
    assert time.sleeps == [0.5]


def test_a_wait_of_no_time_looks_once(connect: Make, script: Make, job: Make) -> None:
    server = script(seen(job(), '"1"', held=False))

    with pytest.raises(WaitTimeoutError):
        connect(server).jobs.wait("job_1", timeout=0)
    assert len(server.requests) == 1


def test_a_held_answer_has_time_to_arrive(connect: Make, script: Make, job: Make) -> None:
    server = script(seen(job("succeeded"), '"1"'))

    connect(server, timeout=10).jobs.wait("job_1")

    assert server.requests[0].extensions["timeout"]["read"] == 40


def test_a_silent_server_does_not_outlast_the_deadline(connect: Make, script: Make, job: Make) -> None:
    server = script(seen(job("succeeded"), '"1"'))

    connect(server, timeout=10).jobs.wait("job_1", timeout=5)

    assert server.requests[0].extensions["timeout"]["read"] == 7


def test_no_try_starts_after_the_deadline(connect: Make, script: Make, time: Any) -> None:
    server = script(after(time, 3, httpx.Response(503)))

    with pytest.raises(Exception, match="503"):
        connect(server).jobs.wait("job_1", timeout=3)
    assert time.sleeps == []


def test_the_first_look_fails_soon_when_nobody_answers(connect: Make, script: Make) -> None:
    server = script(*[httpx.ConnectError("refused")] * 4)

    with pytest.raises(ConnectionFailedError):
        connect(server).jobs.wait("job_1")


def test_a_wait_under_way_outlasts_a_restart_of_the_server(
    connect: Make, script: Make, job: Make, time: Any
) -> None:
    outage = [httpx.ConnectError("refused")] * 20
    server = script(seen(job(), '"1"'), *outage, seen(job("succeeded"), '"2"'))

    assert connect(server).jobs.wait("job_1").state == "succeeded"
    assert sum(time.sleeps) > 120
