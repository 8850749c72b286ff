"""What the operator sees of workers and of jobs that do not get on."""

from typing import Any

import pytest
from sqlalchemy import text

from api import responses
from quire import ids, jobs
from quire.testing import Place, add_worker
from scheduler import forecasting
from tests.contract.client import Api, fields, problem, shown
from tests.contract.working import FakeWorker, words


def change(place: Place, statement: str) -> None:
    with place.database.service() as session:
        session.execute(text(statement))


def why(operator: Api, job: str, query: str = "") -> list[str]:
    """Return why a job is stuck; nothing if it is not."""
    stuck = shown(operator.get(f"/v1/admin/stuck?{query}"))["data"]
    return next((item["why"] for item in stuck if item["id"] == job), [])


# ---- workers ----------------------------------------------------------------------------------------------


def test_a_worker_is_shown_with_what_it_does(api: Api, operator: Api, worker: FakeWorker) -> None:
    api.submitted()
    worker.claim()

    [seen] = shown(operator.get("/v1/admin/workers"))["data"]

    assert responses.Worker.model_validate(seen)
    assert seen["id"] == ids.show(ids.WORKER, worker.id)
    assert (seen["model"], seen["host"], seen["slots"], seen["running"]) == ("tiny", "test", 8, 1)
    assert (seen["live"], seen["draining"], seen["numerics"]) == (True, False, "fake")
    assert 3590 < seen["lease_seconds"] <= 3600


def test_a_worker_whose_lease_has_lapsed_is_shown_as_such(operator: Api, worker: FakeWorker, place: Place) -> None:
    change(place, "UPDATE workers SET lease_until = clock_timestamp() - interval '3 s'")

    [seen] = shown(operator.get("/v1/admin/workers"))["data"]

    assert not seen["live"]
    assert seen["lease_seconds"] < -2.9


def test_workers_are_listed_in_pages(operator: Api, place: Place) -> None:
    with place.database.service() as session:
        entered = sorted(ids.show(ids.WORKER, add_worker(session)) for _ in range(3))

    first = shown(operator.get("/v1/admin/workers?limit=2"))
    rest = shown(operator.get(f"/v1/admin/workers?limit=2&after={first['next_cursor']}"))

    assert [item["id"] for item in first["data"] + rest["data"]] == entered
    assert (first["has_more"], rest["has_more"], rest["next_cursor"]) == (True, False, None)


# ---- stuck jobs -------------------------------------------------------------------------------------------


def test_jobs_that_get_on_are_not_stuck(api: Api, operator: Api, worker: FakeWorker) -> None:
    running, waiting = api.submitted()["id"], api.submitted()["id"]
    worker.claim(1)

    assert shown(operator.get("/v1/admin/stuck"))["data"] == []
    assert (running, waiting) != ()


def test_a_running_job_without_new_text_is_silent_until_it_writes(
    api: Api, operator: Api, worker: FakeWorker, place: Place
) -> None:
    job = api.submitted()["id"]
    worker.claim()
    change(place, "UPDATE jobs SET started_at = started_at - interval '1 hour'")
    change(place, "UPDATE workers SET started_at = started_at - interval '1 hour'")
    assert why(operator, job, "seconds=60") == ["silent"]

    worker.write(job, words("The"))

    assert why(operator, job, "seconds=60") == []
    change(place, "UPDATE chunks SET created_at = created_at - interval '1 hour'")
    assert why(operator, job, "seconds=60") == ["silent"]


def test_a_job_on_a_worker_without_a_lease_is_an_orphan(
    api: Api, operator: Api, worker: FakeWorker, place: Place
) -> None:
    job = api.submitted()["id"]
    worker.claim()
    change(place, "UPDATE workers SET lease_until = clock_timestamp() - interval '1 s'")
    assert why(operator, job) == ["orphaned"]

    change(place, "DELETE FROM workers")

    assert why(operator, job) == ["orphaned"]


def test_a_live_job_that_lost_a_worker_is_shown_until_it_ends(
    api: Api, operator: Api, worker: FakeWorker, place: Place
) -> None:
    job = api.submitted()["id"]
    worker.claim()
    change(place, "DELETE FROM workers")
    with place.database.service() as session:
        jobs.requeue_orphans(session, max_attempts=3)

    [seen] = shown(operator.get("/v1/admin/stuck"))["data"]

    assert responses.StuckJob.model_validate(seen)
    assert (seen["id"], seen["why"], seen["attempts"], seen["state"]) == (job, ["crashed"], 1, "queued")
    assert seen["tenant_id"] == ids.show(ids.TENANT, place.tenant.id)
    api.post(f"/v1/jobs/{job}/cancel")
    assert why(operator, job) == []


def test_the_first_of_a_lane_is_overlooked_when_slots_stay_free(
    api: Api, operator: Api, worker: FakeWorker, place: Place
) -> None:
    first, second = api.submitted()["id"], api.submitted()["id"]
    forecasting.measure(place.database)
    assert why(operator, first) == []

    change(place, "UPDATE forecasts SET idle_since = idle_since - interval '1 hour'")
    change(place, "UPDATE jobs SET created_at = created_at - interval '1 hour'")

    assert (why(operator, first), why(operator, second)) == (["overlooked"], [])
    change(place, "UPDATE tenants SET paused = true")
    assert why(operator, first) == []


def test_a_job_in_a_lane_that_nobody_looks_at_is_stranded(api: Api, operator: Api, place: Place) -> None:
    job = api.submitted()["id"]

    change(place, "UPDATE lanes SET ready = false")

    assert why(operator, job) == ["stranded"]


def test_a_job_may_be_stuck_for_several_reasons_and_is_listed_once(
    api: Api, operator: Api, worker: FakeWorker, place: Place
) -> None:
    job = api.submitted()["id"]
    worker.claim()
    change(place, "UPDATE jobs SET attempts = 1")
    change(place, "DELETE FROM workers")

    assert why(operator, job) == ["crashed", "orphaned"]


def test_stuck_jobs_are_listed_in_pages_the_oldest_first(
    api: Api, operator: Api, worker: FakeWorker, place: Place
) -> None:
    submitted = [api.submitted()["id"] for _ in range(3)]
    worker.claim()
    change(place, "DELETE FROM workers")

    first = shown(operator.get("/v1/admin/stuck?limit=2"))
    rest = shown(operator.get(f"/v1/admin/stuck?limit=2&after={first['next_cursor']}"))

    assert [item["id"] for item in first["data"] + rest["data"]] == submitted
    assert (first["has_more"], rest["has_more"]) == (True, False)


# ---- who may look -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/admin/workers", "/v1/admin/stuck"])
def test_only_the_operator_looks(shared: Any, path: str) -> None:
    problem(shared.api.get(path), 401, "unauthenticated")


@pytest.mark.parametrize(
    ("query", "field"),
    [("limit=0", "limit"), ("seconds=-1", "seconds"), ("seconds=long", "seconds"), ("after=x", "after"),
     ("colour=red", "colour")],
)  # fmt: skip
def test_a_bad_query_names_its_field(shared: Any, query: str, field: str) -> None:
    answer = shared.operator.get(f"/v1/admin/stuck?{query}")
    problem(answer, 400)
    assert fields(answer) == {field}
