"""What a waiting job tells of its wait."""

from typing import Any

import pytest
from sqlalchemy import text

from api import responses
from quire.store import waiting
from quire.testing import Place
from scheduler import forecasting
from tests.contract.client import Api, shown
from tests.contract.working import FakeWorker, words


def change(place: Place, statement: str) -> None:
    with place.database.service() as session:
        session.execute(text(statement))


def measure(place: Place) -> None:
    change(place, "UPDATE forecasts SET due_at = clock_timestamp()")
    forecasting.measure(place.database)


def test_a_job_that_no_worker_could_take_says_so_and_has_no_start(api: Api) -> None:
    job = api.submitted()

    assert (job["blocked_by"], job["queue"]) == ("no_worker", {"position": 1, "more": False, "eta": None})


def test_a_job_of_a_paused_tenant_says_so(api: Api, worker: FakeWorker, place: Place) -> None:
    job = api.submitted()["id"]

    change(place, "UPDATE tenants SET paused = true")

    assert api.job(job)["blocked_by"] == "paused"


def test_a_job_of_a_tenant_that_runs_all_it_may_says_so(api: Api, worker: FakeWorker, place: Place) -> None:
    change(place, "UPDATE tenants SET max_running = 1")
    api.submitted()
    worker.claim(1)

    assert api.submitted()["blocked_by"] == "cap"


def test_a_job_that_waits_for_a_slot_is_told_when_it_starts(api: Api, worker: FakeWorker, place: Place) -> None:
    done = [api.submitted()["id"] for _ in range(8)]
    worker.claim(8)
    for job in done:
        worker.finish(job, words("The end.", finish="stop"))
    change(place, "UPDATE jobs SET finished_at = finished_at - interval '2 s', "
                  "started_at = started_at - interval '12 s'")  # fmt: skip
    for _ in range(8):
        api.submitted()
    worker.claim(8)
    waits = api.submitted()["id"]
    measure(place)

    answer = api.get(f"/v1/jobs/{waits}")

    seen = responses.Job.model_validate_json(answer.data)
    assert seen.blocked_by == "busy"
    assert seen.queue.eta is not None
    assert seen.created_at < seen.queue.eta.p50 <= seen.queue.eta.p90


def test_the_tag_of_a_job_outlives_its_predicted_start(api: Api, worker: FakeWorker, place: Place) -> None:
    path = f"/v1/jobs/{api.submitted()['id']}"
    measure(place)
    change(
        place, "UPDATE forecasts SET done_work = 1, done_seconds = 1, done_square = 1, done_jobs = 1, running = 8"
    )
    before = api.get(path)

    change(place, "UPDATE forecasts SET done_seconds = 9")
    after = api.get(path)

    assert shown(after)["queue"]["eta"] != shown(before)["queue"]["eta"]
    assert after.headers["ETag"] == before.headers["ETag"]


def test_a_position_is_exact_so_far_and_then_there_is_more(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "EXACT", 3)
    monkeypatch.setattr("quire.standing.EXACT", 3)
    submitted = [api.submitted()["id"] for _ in range(5)]

    alone = [api.job(job)["queue"] for job in submitted]
    listed = {job["id"]: job["queue"] for job in shown(api.get("/v1/jobs"))["data"]}

    assert [(place["position"], place["more"]) for place in alone] == [
        (1, False), (2, False), (3, False), (3, True), (3, True)
    ]  # fmt: skip
    assert [listed[job] for job in submitted] == alone


def test_a_list_tells_of_holds_alone(api: Api) -> None:
    held = api.submitted(not_before="2900-01-01T00:00:00Z")["id"]
    free = api.submitted()["id"]

    listed: dict[str, Any] = {job["id"]: job for job in shown(api.get("/v1/jobs"))["data"]}

    assert listed[held]["blocked_by"] == "not_before"
    assert (listed[free]["blocked_by"], listed[free]["queue"]["eta"]) == (None, None)


@pytest.mark.parametrize("end", ["cancel", "run"])
def test_a_job_that_waits_no_more_waits_for_nothing(api: Api, worker: FakeWorker, end: str) -> None:
    job = api.submitted()["id"]

    if end == "cancel":
        api.post(f"/v1/jobs/{job}/cancel")
    else:
        worker.claim()

    seen = api.job(job)
    assert (seen["blocked_by"], seen["queue"]) == (None, {"position": None, "more": False, "eta": None})
