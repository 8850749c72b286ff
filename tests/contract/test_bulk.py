"""POST /v1/jobs/bulk: all of a body's jobs, or none."""

from typing import Any

import pytest
from flask import Flask

from api import responses
from quire.testing import FakePublisher, Place
from tests.contract.client import Api, add_key, fields, problem, shown


def bulk(api: Api, *jobs: dict[str, Any], key: str | None = None) -> Any:
    headers = {"Idempotency-Key": key} if key else {}
    return api.post("/v1/jobs/bulk", json={"jobs": list(jobs)}, headers=headers)


def total(api: Api) -> int:
    return len(shown(api.get("/v1/jobs?limit=100"))["data"])


def test_the_ids_come_in_the_order_of_the_body(api: Api, publisher: FakePublisher) -> None:
    answer = bulk(api, *({"prompt": f"Job {n}", "seed": n} for n in range(30)))

    assert answer.status_code == 202
    made = responses.Bulk.model_validate(shown(answer))
    assert [api.job(job)["parameters"]["seed"] for job in made.jobs] == list(range(30))
    assert [api.job(job)["input"]["prompt"] for job in made.jobs[:2]] == ["Job 0", "Job 1"]
    assert set(publisher.woken) == {"tiny"}


def test_a_form_and_a_prompt_may_stand_side_by_side(api: Api) -> None:
    made = shown(bulk(api, {"prompt": "Once"}, {"form": "poem", "theme": "the sea"}))

    assert [api.job(job)["input"]["form"] for job in made["jobs"]] == [None, "poem"]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"prompt": "x", "max_tokens": 0}, "jobs.1.max_tokens"),
        ({"prompt": "x", "colour": "red"}, "jobs.1.colour"),
        ({"prompt": "x", "form": "poem"}, "jobs.1.prompt"),
        ({"prompt": "x", "stop": ["a", 1]}, "jobs.1.stop.1"),
        ({"prompt": "x" * 600}, "jobs.1.prompt"),
        ({"prompt": "x", "logit_bias": {"257": 1}}, "jobs.1.logit_bias.257"),
        ({"prompt": "x", "model": "nobody"}, "jobs.1.model"),
        ("x", "jobs.1"),
    ],
)
def test_one_wrong_job_is_named_and_none_is_queued(api: Api, wrong: Any, field: str) -> None:
    answer = bulk(api, {"prompt": "good"}, wrong)

    problem(answer, 400, "invalid_field")
    assert fields(answer) == {field}
    assert total(api) == 0


@pytest.mark.parametrize("body", [{}, {"jobs": []}, {"jobs": {}}, {"jobs": [{"prompt": "x"}], "n": 1}])
def test_a_body_that_is_no_list_of_jobs_is_refused(api: Api, body: dict[str, Any]) -> None:
    problem(api.post("/v1/jobs/bulk", json=body), 400, "invalid_field")


def test_a_bulk_may_be_larger_than_a_single_body(api: Api) -> None:
    large = {"prompt": "x", "metadata": {f"{n:064}": "y" * 512 for n in range(16)}}

    answer = bulk(api, *[large] * 150)  # 1.4 MB, where a single body may have one

    assert answer.status_code == 202


def test_the_same_key_makes_no_second_jobs(api: Api) -> None:
    first = bulk(api, {"prompt": "a"}, {"prompt": "b"}, key="k")

    again = bulk(api, {"prompt": "a"}, {"prompt": "b"}, key="k")

    assert (again.headers["Idempotent-Replayed"], shown(again)) == ("true", shown(first))
    assert total(api) == 2


def test_a_key_belongs_to_one_route(api: Api) -> None:
    bulk(api, {"prompt": "a"}, key="k")

    problem(api.submit(prompt="a", headers={"Idempotency-Key": "k"}), 422, "idempotency_key_reused")


def test_a_key_that_may_not_write_may_not_submit_many(app: Flask, place: Place) -> None:
    reader = Api(app, add_key(place.database, place.tenant, "jobs:read"))

    problem(bulk(reader, {"prompt": "a"}), 403, "forbidden")
