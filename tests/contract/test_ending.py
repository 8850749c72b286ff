from sqlalchemy import func, select

from quire.store import Chunk, LedgerEntry
from quire.testing import Place
from tests.contract.client import Api, problem, shown
from tests.contract.working import FakeWorker, words


def test_a_queued_job_is_cancelled(api: Api) -> None:
    job = api.submitted()["id"]

    answer = api.post(f"/v1/jobs/{job}/cancel")
    seen = shown(answer)
    assert (answer.status_code, seen["state"], seen["output"]) == (200, "cancelled", None)
    assert seen["usage"]["total_tokens"] == 0
    assert seen["timings"]["running_seconds"] is None
    assert answer.headers["ETag"]
    assert "Retry-After" not in answer.headers


def test_a_held_job_is_cancelled(api: Api) -> None:
    job = api.submitted(not_before="2900-01-01T00:00:00Z")["id"]
    seen = shown(api.post(f"/v1/jobs/{job}/cancel"))
    assert (seen["state"], seen["blocked_by"]) == ("cancelled", None)


def test_a_running_job_is_cancelled_with_its_text(api: Api, worker: FakeWorker) -> None:
    job = api.submitted()["id"]
    worker.claim()
    worker.write(job, words("The sea"))

    seen = shown(api.post(f"/v1/jobs/{job}/cancel"))
    assert seen["output"]["pieces"][0]["text"] == "The sea"
    assert seen["output"]["pieces"][0]["finish_reason"] is None
    assert seen["usage"] == {"prompt_tokens": 16, "completion_tokens": 7, "total_tokens": 23}


def test_cancelling_again_changes_nothing(api: Api, worker: FakeWorker) -> None:
    job = api.submitted()["id"]
    worker.claim()
    worker.finish(job, words("The end."))
    before = api.job(job)

    answer = api.post(f"/v1/jobs/{job}/cancel")
    assert (answer.status_code, shown(answer)) == (200, before)


def test_a_live_job_is_not_deleted(api: Api, worker: FakeWorker) -> None:
    queued = api.submitted()["id"]
    answer = api.delete(f"/v1/jobs/{queued}")
    problem(answer, 409, "conflict")
    assert answer.headers["X-Should-Retry"] == "false"

    worker.claim()
    problem(api.delete(f"/v1/jobs/{queued}"), 409, "conflict")
    assert api.job(queued)["state"] == "running"


def test_a_deleted_job_leaves_only_its_account(api: Api, worker: FakeWorker, place: Place) -> None:
    job = api.submitted()["id"]
    worker.claim()
    worker.finish(job, words("The end."))

    answer = api.delete(f"/v1/jobs/{job}")
    assert (answer.status_code, answer.data) == (204, b"")
    problem(api.get(f"/v1/jobs/{job}"), 404, "not_found")
    problem(api.delete(f"/v1/jobs/{job}"), 404, "not_found")
    with place.database.service() as session:
        assert session.scalar(select(func.count()).select_from(Chunk)) == 0
        assert session.scalars(select(LedgerEntry.completion_tokens)).all() == [8]


def test_the_output_is_plain_text(api: Api, worker: FakeWorker) -> None:
    job = api.submitted()["id"]
    worker.claim()
    worker.finish(job, words("Über alle\nGipfel", finish="stop"))

    answer = api.get(f"/v1/jobs/{job}/output")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.data.decode() == "Über alle\nGipfel"


def test_several_pieces_are_set_apart(api: Api, worker: FakeWorker) -> None:
    job = api.submitted(n=3)["id"]
    worker.claim()
    worker.finish(job, words("two", piece=1), words("one"), words("three", piece=2))

    assert api.get(f"/v1/jobs/{job}/output").text == "one\n* * *\ntwo\n* * *\nthree"
    assert api.get(f"/v1/jobs/{job}/output?piece=1").text == "two"
    problem(api.get(f"/v1/jobs/{job}/output?piece=3"), 400, "invalid_field")
    problem(api.get(f"/v1/jobs/{job}/output?piece=-1"), 400, "invalid_field")
    problem(api.get(f"/v1/jobs/{job}/output?piece=99999999999999999999"), 400, "invalid_field")


def test_an_unfinished_job_has_no_output_yet(api: Api, worker: FakeWorker) -> None:
    job = api.submitted()["id"]
    problem(api.get(f"/v1/jobs/{job}/output"), 409, "conflict")

    worker.claim()
    worker.write(job, words("The sea"))
    problem(api.get(f"/v1/jobs/{job}/output"), 409, "conflict")


def test_a_job_that_ended_without_text_has_no_output(api: Api) -> None:
    job = api.submitted()["id"]
    api.post(f"/v1/jobs/{job}/cancel")

    answer = api.get(f"/v1/jobs/{job}/output")
    problem(answer, 409, "conflict")
    assert answer.headers["X-Should-Retry"] == "false"
