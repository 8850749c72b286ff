"""/v1/responses, as the official OpenAI client sends it."""

from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest
from flask import Flask
from openai import OpenAI

from quire import ids
from quire.store.job import State
from quire.testing import MODEL, RING, Place
from scheduler.compaction import compact
from tests.contract.client import Api, problem, shown
from tests.contract.openai import openai_client
from tests.contract.working import FakeWorker, words

ASKED: dict[str, Any] = {"model": MODEL, "input": "Once"}
PROLOGUE = [
    "response.created", "response.queued", "response.in_progress", "response.output_item.added",
    "response.content_part.added",
]  # fmt: skip
DELTA = "response.output_text.delta"
EPILOGUE = ["response.output_text.done", "response.content_part.done", "response.output_item.done"]


@pytest.fixture
def client(app: Flask, api: Api) -> Iterator[OpenAI]:
    with openai_client(app, api.secret) as client:
        yield client


def job_of(response: Any) -> str:
    return str(response.id).replace("resp_", "job_")


Written = Callable[..., str]


@pytest.fixture
def background(client: OpenAI, worker: FakeWorker) -> str:
    """A response that was made in three flushes."""
    made = client.responses.create(**ASKED, background=True)
    worker.claim()
    worker.write(job_of(made), words("The sea"))
    worker.write(job_of(made), words(" is wide"))
    worker.finish(job_of(made), words(".", finish="stop"))
    return str(made.id)


def test_a_background_response_is_polled_to_its_end(client: OpenAI, worker: FakeWorker) -> None:
    made = client.responses.create(
        **ASKED, background=True, metadata={"shelf": "sea"}, max_output_tokens=20, temperature=0.5, top_p=0.9
    )
    assert (made.object, made.status, made.background, made.output, made.usage) == (
        "response", "queued", True, [], None,
    )  # fmt: skip
    assert (made.metadata, made.max_output_tokens, made.temperature, made.top_p) == (
        {"shelf": "sea"},
        20,
        0.5,
        0.9,
    )
    worker.claim()
    worker.write(job_of(made), words("The sea"))
    running = client.responses.retrieve(made.id)
    assert (running.status, running.output_text) == ("in_progress", "The sea")
    worker.finish(job_of(made), words(" is wide.", finish="stop"))

    done = client.responses.retrieve(made.id)
    assert (done.status, done.output_text, done.error) == ("completed", "The sea is wide.", None)
    assert (done.usage.input_tokens, done.usage.output_tokens, done.usage.total_tokens) == (4, 16, 20)
    assert done.completed_at >= done.created_at


def test_a_response_that_was_cut_off_is_incomplete(client: OpenAI, worker: FakeWorker) -> None:
    made = client.responses.create(**ASKED, background=True)
    worker.claim()
    worker.finish(job_of(made), words("The sea", finish="length"))

    done = client.responses.retrieve(made.id)
    assert (done.status, done.incomplete_details.reason, done.output[0].status) == (
        "incomplete", "max_output_tokens", "incomplete",
    )  # fmt: skip


def test_a_failed_response_tells_why(client: OpenAI, worker: FakeWorker) -> None:
    made = client.responses.create(**ASKED, background=True)
    worker.claim()
    worker.finish(job_of(made), state=State.FAILED)

    done = client.responses.retrieve(made.id)
    assert (done.status, done.error.code, done.error.message) == ("failed", "server_error", "It broke.")


def test_a_background_response_is_followed_as_it_is_written(client: OpenAI, worker: FakeWorker, hub: Any) -> None:
    events = iter(client.responses.create(**ASKED, background=True, stream=True))
    first = next(events)
    assert first.type == "response.created"
    job = job_of(first.response)
    worker.claim()
    worker.write(job, words("The sea"))
    hub.send(ids.parse("job", job))
    delta = next(event for event in events if event.type == DELTA)
    worker.finish(job, words(".", finish="stop"))
    rest = list(events)

    assert (delta.delta, delta.sequence_number) == ("The sea", 5)
    assert [event.type for event in rest] == [DELTA, *EPILOGUE, "response.completed"]
    assert (rest[1].text, rest[-1].response.output_text) == ("The sea.", "The sea.")


def test_a_stream_goes_on_behind_any_event_also_when_the_log_was_joined(
    client: OpenAI, background: str, place: Place
) -> None:
    whole = list(client.responses.retrieve(background, stream=True))
    assert [event.type for event in whole] == [*PROLOGUE, *[DELTA] * 3, *EPILOGUE, "response.completed"]
    assert [event.sequence_number for event in whole] == list(range(len(whole)))
    assert "".join(event.delta for event in whole if event.type == DELTA) == "The sea is wide."

    for _ in range(2):
        for seen in range(len(whole)):
            rest = client.responses.retrieve(background, stream=True, starting_after=seen)
            assert list(rest) == whole[seen + 1 :]
        assert compact(place.database, RING) in {0, 1}


def test_a_response_cancelled_before_it_ran_ends_its_stream(client: OpenAI) -> None:
    made = client.responses.create(**ASKED, background=True)

    cancelled = client.responses.cancel(made.id)

    assert (cancelled.id, cancelled.status) == (made.id, "cancelled")
    events = list(client.responses.retrieve(made.id, stream=True))
    assert [event.type for event in events] == ["response.created", "response.queued", "response.incomplete"]
    assert events[-1].response.status == "cancelled"
    assert client.responses.cancel(made.id).status == "cancelled"


def test_a_response_cancelled_in_its_midst_keeps_its_text(client: OpenAI, worker: FakeWorker) -> None:
    made = client.responses.create(**ASKED, background=True)
    worker.claim()
    worker.write(job_of(made), words("The sea"))

    assert client.responses.cancel(made.id).output_text == "The sea"
    events = list(client.responses.retrieve(made.id, stream=True))
    assert [event.type for event in events] == [*PROLOGUE, DELTA, *EPILOGUE, "response.incomplete"]


def test_leaving_the_stream_of_a_background_response_leaves_it_running(client: OpenAI, api: Api) -> None:
    events = iter(client.responses.create(**ASKED, background=True, stream=True))
    made = next(events).response
    events.close()  # type: ignore[attr-defined]

    assert client.responses.retrieve(made.id).status == "queued"


def test_a_foreground_response_waits(client: OpenAI, api: Api, worker: FakeWorker) -> None:
    message: Any = {"role": "user", "content": [{"type": "input_text", "text": "Once"}]}
    with worker.at_work():
        done = client.responses.create(model=MODEL, input=[message], truncation="auto")
    assert (done.status, done.background, done.output_text, done.truncation) == (
        "completed", False, "The end.", "auto",
    )  # fmt: skip
    assert api.job(job_of(done))["input"]["prompt"] == "Once"


def test_leaving_the_stream_of_a_foreground_response_cancels_it(client: OpenAI, api: Api) -> None:
    stream = client.responses.create(**ASKED, stream=True)
    made = next(iter(stream)).response
    stream.close()

    assert client.responses.retrieve(made.id).status == "cancelled"


def test_a_response_that_is_over_can_be_deleted(client: OpenAI, background: str) -> None:
    live = client.responses.create(**ASKED, background=True)
    with pytest.raises(openai.ConflictError):
        client.responses.delete(live.id)
    client.responses.delete(background)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(background)


def test_a_key_makes_one_response(client: OpenAI) -> None:
    key = {"Idempotency-Key": "k"}
    first, second = (client.responses.create(**ASKED, background=True, extra_headers=key) for _ in range(2))
    assert first.id == second.id


def test_jobs_of_other_routes_and_of_others_are_no_responses(
    client: OpenAI, app: Flask, api: Api, stranger: Api, background: str
) -> None:
    job = api.submitted()["id"]
    for by, response in ((api, job.replace("job_", "resp_")), (api, "resp_1"), (stranger, background)):
        problem(by.get(f"/v1/responses/{response}"), 404, "not_found")
        problem(by.get(f"/v1/responses/{response}?stream=true"), 404, "not_found")
        problem(by.post(f"/v1/responses/{response}/cancel"), 404, "not_found")
        problem(by.delete(f"/v1/responses/{response}"), 404, "not_found")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("instructions", "Be kind."), ("previous_response_id", "resp_1"), ("conversation", "c"), ("prompt", {}),
        ("reasoning", {"effort": "low"}), ("store", False), ("tools", [{"type": "web_search"}]), ("input", []),
        ("tool_choice", "required"), ("text", {"format": {"type": "json_object"}}), ("max_output_tokens", 0),
        ("max_output_tokens", 512), ("temperature", 3), ("input", [{"role": "system", "content": "a"}]),
        ("input", "a" * 600), ("input", " "), ("include", ["x"]), ("top_logprobs", 2), ("service_tier", "flex"),
        ("user", "ada"), ("truncation", "middle"),
    ],
)  # fmt: skip
def test_what_cannot_be_honoured_is_refused_by_name(shared: Any, field: str, value: Any) -> None:
    answer = shared.api.post("/v1/responses", json={**ASKED, "background": True, field: value})

    problem(answer, 400)
    assert shown(answer)["error"]["param"].split(".")[0] == field


def test_queries_are_checked(shared: Any) -> None:
    made = shown(shared.api.post("/v1/responses", json={**ASKED, "background": True}))["id"]
    for query in ("starting_after=1", "stream=true&starting_after=-1", "stream=maybe", "include=x"):
        problem(shared.api.get(f"/v1/responses/{made}?{query}"), 400, "invalid_field")
    shared.api.post(f"/v1/responses/{made}/cancel")


def test_beyond_the_seats_a_foreground_response_is_refused(client: OpenAI, api: Api) -> None:
    sitting = [client.completions.create(model=MODEL, prompt="Once", stream=True) for _ in range(2)]
    with pytest.raises(openai.InternalServerError) as refused:
        client.responses.create(**ASKED)
    assert refused.value.code == "too_many_readers"
    for each in sitting:
        each.close()
    assert len(shown(api.get("/v1/jobs"))["data"]) == 2
