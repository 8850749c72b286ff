from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from api import responses
from quire import testing
from quire.testing import Place
from tests.contract.client import Api, shown
from tests.contract.working import FakeWorker, words


def listed(api: Api, query: str = "") -> list[str]:
    answer = api.get(f"/v1/jobs?{query}")
    assert answer.status_code == 200, answer.text
    return [job["id"] for job in shown(answer)["data"]]


def test_jobs_come_newest_first_and_without_their_texts(api: Api, worker: FakeWorker) -> None:
    first, second = api.submitted()["id"], api.submitted()["id"]
    worker.claim(1)
    worker.write(first, words("The sea"))

    page = responses.JobPage.model_validate_json(api.get("/v1/jobs").data)
    assert [job.id for job in page.data] == [second, first]
    assert [job.progress.tokens for job in page.data] == [0, 7]
    assert (page.has_more, page.next_cursor) == (False, None)
    raw = shown(api.get("/v1/jobs"))["data"][0]
    assert not {"input", "output"} & set(raw)
    full = api.job(second)
    same = set(raw) - {"timings"}
    assert {name: full[name] for name in same} == {name: raw[name] for name in same}


def test_pages_follow_each_other_and_meet_nothing_twice(api: Api) -> None:
    jobs = [api.submitted()["id"] for _ in range(5)]

    seen: list[str] = []
    cursor = ""
    for size in (2, 2, 1):
        page = shown(api.get(f"/v1/jobs?limit=2{cursor}"))
        assert len(page["data"]) == size
        seen += [job["id"] for job in page["data"]]
        cursor = f"&after={page['next_cursor']}"
        api.submitted()  # what comes meanwhile does not shift the pages
    assert seen == jobs[::-1]
    assert (page["has_more"], page["next_cursor"]) == (False, None)


def test_a_full_last_page_is_the_last(api: Api) -> None:
    for _ in range(2):
        api.submitted()
    assert shown(api.get("/v1/jobs?limit=2"))["has_more"] is False


def test_twenty_are_listed_unless_asked_otherwise(api: Api) -> None:
    for _ in range(21):
        api.submitted()
    assert len(listed(api)) == 20
    assert len(listed(api, "limit=100")) == 21


def test_a_list_is_filtered_by_state(api: Api, worker: FakeWorker) -> None:
    running = api.submitted()["id"]
    worker.claim()
    cancelled = api.submitted()["id"]
    api.post(f"/v1/jobs/{cancelled}/cancel")
    queued = api.submitted()["id"]

    assert listed(api, "state=queued") == [queued]
    assert listed(api, "state=running&state=cancelled") == [cancelled, running]
    assert listed(api, "state=failed") == []
    assert listed(api, "kind=text&model=tiny") == [queued, cancelled, running]


def test_a_list_is_filtered_by_model(api: Api, place: Place) -> None:
    with place.database.service() as session:
        testing.add_model(session, "other")
    api.submitted()
    other = api.submitted(model="other")["id"]

    assert listed(api, "model=other") == [other]
    assert listed(api, "model=nobody") == []


def test_a_list_is_filtered_by_time(api: Api) -> None:
    jobs = [api.submitted() for _ in range(3)]
    middle = jobs[1]["created_at"]

    assert listed(api, f"created_after={middle}") == [jobs[2]["id"]]
    assert listed(api, f"created_before={middle}") == [jobs[0]["id"]]
    zoned = quote((datetime.fromisoformat(middle) - timedelta(microseconds=1)).isoformat())
    assert listed(api, f"created_after={zoned}&limit=1") == [jobs[2]["id"]]
    assert listed(api, "created_before=2000-01-01T00:00:00Z") == []
    assert listed(api, "created_after=2999-12-31T23:59:59Z") == []


def test_a_cursor_and_filters_go_together(api: Api) -> None:
    jobs = [api.submitted()["id"] for _ in range(4)]
    for job in jobs[1:]:
        api.post(f"/v1/jobs/{job}/cancel")

    page = shown(api.get("/v1/jobs?state=cancelled&limit=2"))
    assert [job["id"] for job in page["data"]] == [jobs[3], jobs[2]]
    assert listed(api, f"state=cancelled&limit=2&after={page['next_cursor']}") == [jobs[1]]


def test_the_cursor_of_another_list_is_refused(api: Api, operator: Api) -> None:
    for number in range(2):
        operator.post("/v1/tenants", json={"name": f"tenant {number}"})
    cursor = shown(operator.get("/v1/tenants?limit=1"))["next_cursor"]
    assert api.get(f"/v1/jobs?after={cursor}").status_code == 400


@pytest.mark.parametrize("length", [0, 3])
def test_a_list_of_held_jobs_has_no_positions(api: Api, length: int) -> None:
    for _ in range(length):
        api.submitted(not_before="2900-01-01T00:00:00Z")
    jobs: list[dict[str, Any]] = shown(api.get("/v1/jobs"))["data"]
    assert [job["queue"]["position"] for job in jobs] == [None] * length
