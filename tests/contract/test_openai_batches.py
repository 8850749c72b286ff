"""/v1/batches in OpenAI's form, as the official client sends it."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest
from flask import Flask
from openai import OpenAI
from sqlalchemy import select, text

from api.batches.requests import PRIORITY
from api.openai.batch_lines import Lines
from quire import ids, jobs
from quire.batches import expire_overdue
from quire.store import Batch as Row
from quire.store import Event
from quire.store.job import State
from quire.testing import MODEL, Place
from scheduler.batching import Batching
from tests.contract.client import Api, fields, problem, shown
from tests.contract.openai import openai_client
from tests.contract.working import FakeWorker, words


@pytest.fixture
def client(app: Flask, api: Api) -> Iterator[OpenAI]:
    with openai_client(app, api.secret) as client:
        yield client


def line(name: str, url: str = "/v1/completions", **body: Any) -> dict[str, Any]:
    start = {"model": MODEL, "prompt": "Once"} if url == "/v1/completions" else {"model": MODEL, "input": "Once"}
    return {"custom_id": name, "method": "POST", "url": url, "body": start | body}


def batch(client: OpenAI, *lines: Any, endpoint: Any = "/v1/completions", **rest: Any) -> Any:
    content = "\n".join(each if isinstance(each, str) else json.dumps(each) for each in lines).encode()
    file = client.files.create(file=("lines.jsonl", content), purpose="batch")
    return client.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window="24h", **rest)


def read(client: OpenAI, file: str) -> dict[str, Any]:
    lines = [json.loads(each) for each in client.files.content(file).text.splitlines()]
    return {each["custom_id"]: each for each in lines}


Feed = Callable[[], list[str]]


@pytest.fixture
def feed(place: Place, worker: FakeWorker) -> Feed:
    """Takes a scheduler's step, and claims what it has made of the batches; returns these jobs."""
    feeder = Batching(place.database, window=100)

    def feed() -> list[str]:
        feeder.run()
        return [ids.show(ids.JOB, job) for job in worker.claim(100)]

    return feed


def test_a_batch_goes_to_its_end_with_an_output_and_an_error_file(
    client: OpenAI, feed: Feed, worker: FakeWorker
) -> None:
    made = batch(
        client, line("a", max_tokens=20, n=2), line("b", suffix="x"), line("c", model="gpt-9"), line("d"),
        metadata={"shelf": "sea"},
    )  # fmt: skip
    assert (made.object, made.status, made.endpoint, made.metadata) == (
        "batch", "in_progress", "/v1/completions", {"shelf": "sea"},
    )  # fmt: skip
    assert (made.request_counts.total, made.request_counts.completed, made.request_counts.failed) == (4, 0, 2)
    first, last = feed()
    worker.finish(first, words(" upon", finish="stop"), words(" a", piece=1, finish="length"))
    worker.finish(last, state=State.FAILED)
    feed()

    done = client.batches.retrieve(made.id)
    assert (done.status, done.request_counts.completed, done.request_counts.failed) == ("completed", 1, 3)
    assert done.completed_at >= done.created_at
    assert done.usage.total_tokens == 4 + 4 + 7
    output = read(client, done.output_file_id)
    assert list(output) == ["a"]
    response = output["a"]["response"]
    assert (response["status_code"], output["a"]["error"]) == (200, None)
    assert [choice["text"] for choice in response["body"]["choices"]] == [" upon", " a"]
    assert response["body"]["object"] == "text_completion"
    errors = read(client, done.error_file_id)
    told = {
        name: (each["response"]["status_code"], each["response"]["body"]["error"]) for name, each in errors.items()
    }
    assert {name: (status, error["code"], error["param"]) for name, (status, error) in told.items()} == {
        "b": (400, "invalid_field", "suffix"),
        "c": (404, "model_not_found", "model"),
        "d": (500, "broken", None),
    }


def test_the_files_of_a_batch_are_files(client: OpenAI, feed: Feed, worker: FakeWorker) -> None:
    made = batch(client, line("a"))
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(made.id.replace("batch_", "file_output_"))
    worker.finish(*feed(), words("!"))
    feed()

    output = client.files.retrieve(client.batches.retrieve(made.id).output_file_id)
    assert (output.purpose, output.bytes) == ("batch_output", len(client.files.content(output.id).read()))
    with pytest.raises(openai.ConflictError):
        client.files.delete(output.id)


def test_responses_come_in_batches_too(client: OpenAI, feed: Feed, worker: FakeWorker) -> None:
    made = batch(
        client, line("a", "/v1/responses"), line("b", "/v1/responses", tools=[1]), endpoint="/v1/responses"
    )
    worker.finish(*feed(), words("The end.", finish="stop"))
    feed()

    done = client.batches.retrieve(made.id)
    body = read(client, done.output_file_id)["a"]["response"]["body"]
    assert (body["object"], body["status"], body["output"][0]["content"][0]["text"]) == (
        "response", "completed", "The end.",
    )  # fmt: skip
    assert client.responses.retrieve(body["id"]).output_text == "The end."
    assert read(client, done.error_file_id)["b"]["response"]["body"]["error"]["param"] == "tools"


@pytest.mark.parametrize(
    ("lines", "code", "number", "param"),
    [
        ([line("a"), "{"], "invalid_json", 2, None),
        ([line("a"), line("a")], "invalid_field", 2, "custom_id"),
        ([{**line("a"), "method": "GET"}], "invalid_field", 1, "method"),
        ([line("a", "/v1/responses")], "invalid_field", 1, "url"),
        ([{"custom_id": "a"}], "invalid_field", 1, "method"),
        ([{**line("a"), "b\x00\x1b": 1}], "invalid_field", 1, "b\ufffd\ufffd"),
        (['{"b\\u0000": 1, "b\\u0000": 1}'], "invalid_json", 1, "b\ufffd"),
        ([""], "empty_file", None, None),
    ],
)
def test_a_file_that_cannot_be_read_makes_a_batch_that_has_failed(
    client: OpenAI, api: Api, lines: list[Any], code: str, number: int | None, param: str | None
) -> None:
    made = batch(client, *lines)

    assert made.status == "failed"
    assert made.failed_at is not None
    problem = made.errors.data[0]
    assert (problem.code, problem.line, problem.param) == (code, number, param)
    assert (made.request_counts.total, made.output_file_id, made.error_file_id) == (0, None, None)
    assert client.batches.retrieve(made.id) == made
    assert shown(api.get("/v1/jobs"))["data"] == []


def test_a_cancelled_batch_tells_what_was_not_done(client: OpenAI, feed: Feed, worker: FakeWorker) -> None:
    made = batch(client, line("a"), line("b"))
    first, _ = feed()
    worker.finish(first, words("!"))
    feed()

    cancelled = client.batches.cancel(made.id)

    assert (cancelled.status, cancelled.request_counts.completed) == ("cancelled", 1)
    assert list(read(client, cancelled.output_file_id)) == ["a"]
    assert read(client, cancelled.error_file_id)["b"]["error"]["code"] == "batch_cancelled"


def test_a_batch_whose_window_is_over_has_expired(client: OpenAI, place: Place) -> None:
    made = batch(client, line("a"))
    assert made.expires_at - made.created_at == pytest.approx(24 * 3600, abs=60)
    with place.database.service() as session:
        session.execute(text("UPDATE batches SET deadline = clock_timestamp()"))
    with place.database.service() as session:
        expire_overdue(session)

    done = client.batches.retrieve(made.id)
    assert (done.status, done.output_file_id) == ("expired", None)
    assert read(client, done.error_file_id)["a"]["error"]["code"] == "batch_expired"


def test_lines_whose_jobs_expired_with_the_batch_say_so(
    client: OpenAI, place: Place, feed: Feed, worker: FakeWorker, api: Api
) -> None:
    made = batch(client, line("a"), line("b"), line("c"))
    first, second, _ = feed()
    worker.finish(first, words("!"))
    api.post(f"/v1/jobs/{second}/cancel")
    with place.database.service() as session:
        for table in ("batches", "jobs"):
            session.execute(text(f"UPDATE {table} SET deadline = clock_timestamp()"))
    with place.database.service() as session:
        assert jobs.expire_overdue(session) == 1
    feed()

    done = client.batches.retrieve(made.id)
    errors = read(client, done.error_file_id)
    assert (done.status, list(read(client, done.output_file_id))) == ("expired", ["a"])
    assert {name: each["error"]["code"] for name, each in errors.items()} == {
        "b": "cancelled",
        "c": "batch_expired",
    }


def test_a_batch_that_is_refused_for_its_lines_is_told(client: OpenAI, api: Api, place: Place) -> None:
    shown(api.post("/v1/webhooks", json={"url": "https://93.184.216.34/", "events": ["batch.failed"]}))

    made = batch(client, "{")

    with place.database.service() as session:
        [event] = session.scalars(select(Event))
    assert (event.type, event.data) == ("batch.failed", {"id": made.id})


def test_its_jobs_stand_behind_single_ones(client: OpenAI, place: Place) -> None:
    batch(client, line("a"))

    with place.database.service() as session:
        assert session.scalars(select(Row.priority)).all() == [PRIORITY]


def test_both_kinds_of_batches_are_in_one_list_each_in_its_form(client: OpenAI, api: Api) -> None:
    native = shown(api.post("/v1/batches", json={"items": [{"prompt": "Once"}]}))["id"]
    made = [batch(client, line("a")).id for _ in range(2)]

    assert [each.id for each in client.batches.list(limit=1)] == [*made[::-1], native]
    listed = shown(api.get("/v1/batches"))["data"]
    assert ["status" in each for each in listed] == [True, True, False]


@pytest.mark.parametrize("content", [json.dumps(line("a")), "{"])
def test_a_key_makes_one_batch_also_if_that_is_refused(
    client: OpenAI, content: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = client.files.create(file=("a", content.encode()), purpose="batch")
    taken = []
    items = Lines.items
    monkeypatch.setattr(Lines, "items", lambda *given: taken.append(True) or items(*given))
    made = {
        client.batches.create(
            input_file_id=file.id, endpoint="/v1/completions", completion_window="24h",
            extra_headers={"Idempotency-Key": "k"},
        ).id
        for _ in range(2)
    }  # fmt: skip
    assert len(made) == 1
    assert taken == [True]  # the file is not taken in again


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("endpoint", "/v1/embeddings"), ("completion_window", "1h"), ("input_file_id", "file_1"),
        ("metadata", {"a": 1}), ("output_expires_after", {"anchor": "created_at", "seconds": 3601}), ("items", []),
    ],
)  # fmt: skip
def test_what_cannot_be_honoured_is_refused_by_name(shared: Any, field: str, value: Any) -> None:
    asked = {"input_file_id": "file_1", "endpoint": "/v1/completions", "completion_window": "24h"}
    answer = shared.api.post("/v1/batches", json={**asked, field: value})

    problem(answer, 400, "invalid_field")
    assert field in {each.split(".")[0] for each in fields(answer)}


def test_files_of_others_make_no_batch(client: OpenAI, stranger: Api) -> None:
    file = client.files.create(file=("a", json.dumps(line("a")).encode()), purpose="batch").id
    asked = {"input_file_id": file, "endpoint": "/v1/completions", "completion_window": "24h"}
    problem(stranger.post("/v1/batches", json=asked), 400, "invalid_field")
