import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from werkzeug.test import TestResponse

from quire import ids
from tests.contract.client import Api, problem, shown
from tests.contract.working import FakeWorker, words
from tests.waiting import until

NEVER = 3600.0  # seconds

Later = Callable[..., "Future[TestResponse]"]


@pytest.fixture
def later(app: Any) -> Iterator[Later]:
    """Do it in another thread, and come back once it waits."""
    room = app.extensions["quire"].waiting
    with ThreadPoolExecutor() as pool:

        def start(call: Callable[..., TestResponse], *args: Any, **rest: Any) -> "Future[TestResponse]":
            seats = room.taken
            future = pool.submit(call, *args, **rest)
            until(lambda: room.taken != seats or future.done())
            return future

        yield start


@pytest.fixture
def only_notices(app: Any) -> None:
    """Waiters do not look by themselves."""
    app.extensions["quire"].waiting._look_seconds = NEVER


@pytest.mark.usefixtures("only_notices")
def test_a_waiting_request_is_answered_when_the_job_ends(
    api: Api, worker: FakeWorker, hub: Any, later: Later
) -> None:
    job = api.submitted()["id"]
    worker.claim()
    waiting = later(api.get, f"/v1/jobs/{job}", headers={"Prefer": "wait=30"})

    worker.finish(job, words("The end.", finish="stop"))
    hub.send(ids.parse("job", job))
    answer = waiting.result(10)

    assert shown(answer)["state"] == "succeeded"
    assert answer.headers["Preference-Applied"] == "wait=30"


def test_a_lost_notice_costs_a_second(api: Api, worker: FakeWorker, later: Later) -> None:
    job = api.submitted()["id"]
    worker.claim()
    waiting = later(api.get, f"/v1/jobs/{job}", headers={"Prefer": "wait=30"})

    worker.finish(job)
    assert shown(waiting.result(10))["state"] == "succeeded"


def test_new_text_is_an_answer_to_who_sent_a_tag(api: Api, worker: FakeWorker, hub: Any, later: Later) -> None:
    job = api.submitted()["id"]
    worker.claim()
    tag = api.get(f"/v1/jobs/{job}").headers["ETag"]
    waiting = later(api.get, f"/v1/jobs/{job}", headers={"Prefer": "wait=30", "If-None-Match": tag})

    worker.write(job, words("The sea"))
    hub.send(ids.parse("job", job))
    answer = waiting.result(10)

    assert answer.status_code == 200
    assert shown(answer)["output"]["pieces"][0]["text"] == "The sea"
    assert answer.headers["Preference-Applied"] == "wait=30"


def test_when_nothing_happens_the_wait_ends(api: Api) -> None:
    answer = api.submit()

    still = api.get(answer.headers["Location"], headers={"Prefer": "wait=1"})
    same = api.get(
        answer.headers["Location"], headers={"Prefer": "wait=1", "If-None-Match": answer.headers["ETag"]}
    )
    assert (still.status_code, shown(still)["state"]) == (200, "queued")
    assert (same.status_code, same.headers["Preference-Applied"]) == (304, "wait=1")


def test_a_job_that_is_over_is_not_waited_for(api: Api) -> None:
    job = api.submitted()["id"]
    tag = api.post(f"/v1/jobs/{job}/cancel").headers["ETag"]

    answer = api.get(f"/v1/jobs/{job}", headers={"Prefer": "wait=60", "If-None-Match": tag})
    assert (answer.status_code, answer.headers["Preference-Applied"]) == (304, "wait=60")


def test_a_submission_can_wait_too(api: Api, worker: FakeWorker, later: Later) -> None:
    waiting = later(api.submit, headers={"Prefer": "respond-async, wait=30"})
    job = shown(api.get("/v1/jobs"))["data"][0]["id"]
    worker.claim()
    worker.finish(job, words("The end."))

    answer = waiting.result(10)
    assert (answer.status_code, shown(answer)["state"]) == (202, "succeeded")
    assert answer.headers["Preference-Applied"] == "wait=30"


@pytest.mark.usefixtures("only_notices")
def test_a_cancelled_job_ends_the_wait_at_once(api: Api, later: Later) -> None:
    job = api.submitted()["id"]
    waiting = later(api.get, f"/v1/jobs/{job}", headers={"Prefer": "wait=30"})

    api.post(f"/v1/jobs/{job}/cancel")
    assert shown(waiting.result(10))["state"] == "cancelled"


def test_a_job_deleted_meanwhile_is_not_found(api: Api, later: Later) -> None:
    job = api.submitted()["id"]
    waiting = later(api.get, f"/v1/jobs/{job}", headers={"Prefer": "wait=30", "If-None-Match": "*"})

    api.post(f"/v1/jobs/{job}/cancel")
    api.delete(f"/v1/jobs/{job}")
    answer = waiting.result(10)
    if answer.status_code != 304:  # it may have seen the cancelled job before it went
        problem(answer, 404, "not_found")


@pytest.mark.parametrize(
    "sent", ["wait=0", "wait=-1", "wait=x", "wait", "wait=", "wait=1.5", "await=1", "respond-async", ";;,,=", ""]
)
def test_a_preference_that_cannot_be_read_is_ignored(api: Api, sent: str) -> None:
    path = api.submit().headers["Location"]

    answer = api.get(path, headers={"Prefer": sent})
    assert answer.status_code == 200
    assert "Preference-Applied" not in answer.headers


def test_a_long_wait_is_told_what_it_really_was(app: Any, api: Api) -> None:
    job = api.submitted()["id"]
    api.post(f"/v1/jobs/{job}/cancel")

    answer = api.get(f"/v1/jobs/{job}", headers={"Prefer": 'wait="999999999"; x=y'})
    assert answer.headers["Preference-Applied"] == "wait=60"


def test_beyond_the_seats_there_is_an_answer_at_once(api: Api, later: Later) -> None:
    path = api.submit().headers["Location"]
    sitting = [later(api.get, path, headers={"Prefer": "wait=2"}) for _ in range(2)]

    answer = api.get(path, headers={"Prefer": "wait=30"})
    assert "Preference-Applied" not in answer.headers
    assert answer.headers["Retry-After"]
    assert [future.result(10).headers["Preference-Applied"] for future in sitting] == ["wait=2", "wait=2"]
    assert api.get(path, headers={"Prefer": "wait=1"}).headers["Preference-Applied"] == "wait=1"


def test_one_thread_listens_for_all_and_none_before_the_first(api: Api, hub: Any, later: Later) -> None:
    path = api.submit().headers["Location"]
    api.get(path)
    assert hub.listeners == 0

    for future in [later(api.get, path, headers={"Prefer": "wait=1"}) for _ in range(2)]:
        future.result(10)
    assert hub.listeners == 1


@pytest.mark.usefixtures("only_notices")
def test_waiters_hold_no_connection(app: Any, api: Api, place: Any, later: Later) -> None:
    room, pool = app.extensions["quire"].waiting, place.database.engine.pool
    path = api.submit().headers["Location"]
    sitting = [later(api.get, path, headers={"Prefer": "wait=60"}) for _ in range(2)]

    end = time.monotonic() + 10
    while pool.checkedout():  # they look once before they wait
        assert time.monotonic() < end
    assert room.taken == 2
    room.close()
    assert [future.result(10).status_code for future in sitting] == [200, 200]
