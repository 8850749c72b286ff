import pytest
from flask import Flask

from api import responses
from quire.store.job import State
from quire.testing import Place
from tests.contract.client import Api, add_key, problem, shown
from tests.contract.working import FakeWorker, words


def test_a_running_job_shows_the_text_committed_so_far(api: Api, worker: FakeWorker) -> None:
    job = api.submitted(n=2, max_tokens=50)["id"]
    worker.claim()
    worker.write(job, words("The sea"), words("A ship", piece=1))
    worker.write(job, words(" is wide.", finish="stop"))

    answer = api.get(f"/v1/jobs/{job}")
    seen = responses.Job.model_validate_json(answer.data)
    assert answer.headers["Retry-After"] == "1"
    assert (seen.state, seen.numerics, seen.queue.position) == ("running", "fake", None)
    assert seen.output is not None
    assert [piece.model_dump() for piece in seen.output.pieces] == [
        {"index": 0, "text": "The sea is wide.", "tokens": 16, "finish_reason": "stop", "logprobs": None},
        {"index": 1, "text": "A ship", "tokens": 6, "finish_reason": None, "logprobs": None},
    ]
    assert seen.progress.model_dump() == {"tokens": 22, "max_tokens": 100}
    assert seen.usage.model_dump() == {"prompt_tokens": 16, "completion_tokens": 22, "total_tokens": 38}
    assert seen.started_at is not None
    assert seen.timings.running_seconds is not None


def test_a_finished_job_shows_what_was_delivered(api: Api, worker: FakeWorker) -> None:
    job = api.submitted()["id"]
    worker.claim()
    worker.finish(job, words("The end.", finish="stop"))

    answer = api.get(f"/v1/jobs/{job}")
    seen = shown(answer)
    assert (seen["state"], seen["error"]) == ("succeeded", None)
    assert seen["usage"]["completion_tokens"] == 8
    assert seen["finished_at"] > seen["started_at"] > seen["created_at"]
    assert "Retry-After" not in answer.headers


def test_a_failed_job_says_why(api: Api, worker: FakeWorker) -> None:
    job = api.submitted()["id"]
    worker.claim()
    worker.finish(job, state=State.FAILED)

    seen = api.job(job)
    assert (seen["state"], seen["output"]) == ("failed", None)
    assert seen["error"] == {"code": "broken", "message": "It broke."}


def test_log_probabilities_are_shown_where_they_were_asked_for(api: Api, worker: FakeWorker) -> None:
    from quire.pieces import Entry, Logprobs

    job = api.submitted(logprobs=1)["id"]
    worker.claim()
    known = Logprobs(["T", "o"], [-0.5, -1.25], [{"T": -0.5}, {"a": -0.75}])
    worker.finish(job, Entry(0, (84, 111), "To", "length", known))

    [piece] = api.job(job)["output"]["pieces"]
    assert piece["logprobs"] == {
        "tokens": ["T", "o"], "token_logprobs": [-0.5, -1.25], "top_logprobs": [{"T": -0.5}, {"a": -0.75}],
    }  # fmt: skip


def test_a_tag_holds_until_the_job_changes(api: Api, worker: FakeWorker) -> None:
    job = api.submitted()["id"]
    path = f"/v1/jobs/{job}"
    tag = api.get(path).headers["ETag"]
    assert api.get(path).headers["ETag"] == tag

    same = api.get(path, headers={"If-None-Match": tag})
    assert (same.status_code, same.data, same.headers["ETag"]) == (304, b"", tag)
    assert same.headers["Retry-After"] == "2"

    worker.claim()
    changed = api.get(path, headers={"If-None-Match": tag})
    assert (changed.status_code, shown(changed)["state"]) == (200, "running")

    running = changed.headers["ETag"]
    worker.write(job, words("The"))
    assert api.get(path, headers={"If-None-Match": running}).status_code == 200


def test_the_tag_of_the_submission_is_the_tag_of_the_job(api: Api) -> None:
    answer = api.submit()
    assert api.get(answer.headers["Location"]).headers["ETag"] == answer.headers["ETag"]


@pytest.mark.parametrize("form", ["{tag}", "{strong}", '"other", {tag}', "*", 'W/"a",{tag}'])
def test_all_forms_of_if_none_match_are_read(api: Api, form: str) -> None:
    answer = api.submit()
    tag = answer.headers["ETag"]
    sent = form.format(tag=tag, strong=tag.removeprefix("W/"))
    assert api.get(answer.headers["Location"], headers={"If-None-Match": sent}).status_code == 304


@pytest.mark.parametrize("sent", ['"other"', "nonsense", "W/", ""])
def test_another_tag_gets_the_job(api: Api, sent: str) -> None:
    path = api.submit().headers["Location"]
    assert api.get(path, headers={"If-None-Match": sent}).status_code == 200


@pytest.mark.parametrize("path", ["", "/output", "/cancel"])
def test_the_job_of_another_tenant_is_not_found(api: Api, stranger: Api, path: str) -> None:
    job = api.submitted()["id"]
    method = "POST" if path == "/cancel" else "GET"

    problem(stranger.request(method, f"/v1/jobs/{job}{path}"), 404, "not_found")
    problem(stranger.delete(f"/v1/jobs/{job}"), 404, "not_found")
    assert api.job(job)["state"] == "queued"
    assert shown(stranger.get("/v1/jobs"))["data"] == []


@pytest.mark.parametrize("job", ["job_", "job_0", "x", "job_" + "0" * 32, "ten_" + "0" * 32, "job_" + "z" * 32])
def test_a_job_that_is_none_is_not_found(api: Api, job: str) -> None:
    problem(api.get(f"/v1/jobs/{job}"), 404, "not_found")


def test_a_key_only_reads_or_writes_if_it_may(app: Flask, place: Place) -> None:
    reader = Api(app, add_key(place.database, place.tenant, "jobs:read"))
    writer = Api(app, add_key(place.database, place.tenant, "jobs:write"))
    job = writer.submitted()["id"]

    problem(reader.submit(), 403, "forbidden")
    problem(reader.post(f"/v1/jobs/{job}/cancel"), 403, "forbidden")
    problem(reader.delete(f"/v1/jobs/{job}"), 403, "forbidden")
    problem(writer.get(f"/v1/jobs/{job}"), 403, "forbidden")
    problem(writer.get("/v1/jobs"), 403, "forbidden")
    problem(writer.get(f"/v1/jobs/{job}/output"), 403, "forbidden")
    assert reader.job(job)["state"] == "queued"
    assert reader.get("/v1/models").status_code == writer.get("/v1/models").status_code == 200
