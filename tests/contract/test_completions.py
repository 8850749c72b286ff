"""POST /v1/completions, as the official OpenAI client sends it."""

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import openai
import pytest
from flask import Flask
from openai import OpenAI

from quire import ids
from quire.pieces import Entry, Logprobs
from quire.store.job import State
from quire.testing import MODEL, Place
from tests.contract.client import Api, fields, problem, shown
from tests.contract.openai import openai_client
from tests.contract.working import FakeWorker, words
from tests.waiting import until

ASKED = {"model": MODEL, "prompt": "Once"}


@pytest.fixture
def client(app: Flask, api: Api) -> Iterator[OpenAI]:
    with openai_client(app, api.secret) as client:
        yield client


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def queued(api: Api, count: int = 1) -> list[str]:
    """Wait until so many jobs are queued; returns their ids, oldest first."""
    jobs: list[str] = []

    def came() -> bool:
        jobs[:] = [job["id"] for job in shown(api.get("/v1/jobs?state=queued"))["data"]][::-1]
        return len(jobs) == count

    until(came)
    return jobs


Finish = Callable[..., Any]


@pytest.fixture
def finish(api: Api, worker: FakeWorker, hub: Any, pool: ThreadPoolExecutor) -> Finish:
    """Calls what waits for jobs, and finishes these with entries; returns what the call has returned."""

    def finish(call: Callable[[], Any], *entries: Entry, state: State = State.SUCCEEDED, count: int = 1) -> Any:
        waiting = pool.submit(call)
        for job in queued(api, count):
            worker.claim()
            worker.finish(job, *entries, state=state)
            hub.send(ids.parse("job", job))
        return waiting.result(30)

    return finish


def test_a_completion_waits_for_its_job(client: OpenAI, api: Api, finish: Finish) -> None:
    done = finish(lambda: client.completions.create(**ASKED, user="ada"), words(" upon", finish="length"))

    assert (done.object, done.model, done.choices[0].text, done.choices[0].finish_reason) == (
        "text_completion", MODEL, " upon", "length",
    )  # fmt: skip
    assert (done.usage.prompt_tokens, done.usage.completion_tokens, done.usage.total_tokens) == (4, 5, 9)
    assert done.system_fingerprint == "fake"
    job = api.job(done.id.replace("cmpl-", "job_"))
    assert (job["parameters"]["max_tokens"], job["metadata"]) == (16, {"user": "ada"})


def test_choices_are_numbered_through_prompts_and_pieces(client: OpenAI, finish: Finish) -> None:
    asked = {"model": MODEL, "prompt": ["A", "B"], "n": 2, "echo": True}
    done = finish(
        lambda: client.completions.create(**asked),
        words("1", finish="stop"), words("2", piece=1, finish="stop"), count=2,
    )  # fmt: skip

    assert [(choice.index, choice.text) for choice in done.choices] == [(0, "A1"), (1, "A2"), (2, "B1"), (3, "B2")]


def test_a_prompt_may_be_tokens(client: OpenAI, api: Api, finish: Finish) -> None:
    done = finish(lambda: client.completions.create(model=MODEL, prompt=[79, 110, 99, 101], echo=True), words("!"))

    assert done.choices[0].text == "Once!"


@pytest.mark.parametrize("prompt", [[256], [195], [13], [10**9], [2**70]])
def test_tokens_that_no_text_has_are_refused(shared: Any, prompt: list[int]) -> None:
    answer = shared.api.post("/v1/completions", json={"model": MODEL, "prompt": prompt})

    problem(answer, 400, "invalid_field")
    assert fields(answer) == {"prompt"}


def test_logprobs_come_with_offsets(client: OpenAI, finish: Finish) -> None:
    told = Logprobs([" up", "on"], [-1.0, -2.0], [{" up": -1.0}, {"on": -2.0}])
    entry = Entry(0, (1, 2), " upon", "length", told)
    done = finish(lambda: client.completions.create(**ASKED, logprobs=1), entry)

    logprobs = done.choices[0].logprobs
    assert (logprobs.tokens, logprobs.token_logprobs) == (told.tokens, told.token_logprobs)
    assert (logprobs.top_logprobs, logprobs.text_offset) == (told.top_logprobs, [0, 3])


def test_a_stream_brings_text_as_it_is_written(
    client: OpenAI, api: Api, worker: FakeWorker, hub: Any, pool: ThreadPoolExecutor
) -> None:
    stream = client.completions.create(
        **ASKED, echo=True, stream=True, stream_options={"include_usage": True, "include_obfuscation": False}
    )
    chunks = iter(stream)
    assert next(chunks).choices[0].text == "Once"
    [job] = queued(api)
    worker.claim()
    worker.write(job, words(" upon"))
    hub.send(ids.parse("job", job))
    assert next(chunks).choices[0].text == " upon"
    worker.finish(job, words(" a time", finish="stop"))
    rest = list(chunks)

    assert [(choice.text, choice.finish_reason) for chunk in rest for choice in chunk.choices] == [
        (" a time", "stop")
    ]
    assert rest[-1].choices == []
    assert rest[-1].usage.total_tokens == 4 + 5 + 7


def test_the_prompts_of_a_stream_are_written_side_by_side(
    client: OpenAI, api: Api, worker: FakeWorker, hub: Any
) -> None:
    chunks = iter(client.completions.create(model=MODEL, prompt=["A", "B"], stream=True))
    first, second = queued(api, 2)
    worker.claim()
    for job, text in ((second, "b"), (first, "a")):
        worker.write(job, words(text))
        hub.send(ids.parse("job", job))
        assert next(chunks).choices[0].text == text
    worker.finish(first)
    worker.finish(second, words("!", finish="stop"))

    assert [chunk.choices[0].index for chunk in chunks] == [1]


def test_offsets_go_on_from_chunk_to_chunk(client: OpenAI, api: Api, worker: FakeWorker, hub: Any) -> None:
    chunks = iter(client.completions.create(**ASKED, logprobs=0, stream=True))
    [job] = queued(api)
    worker.claim()
    offsets = []
    for token in (" up", "on", " a"):
        worker.write(job, Entry(0, (1,), token, None, Logprobs([token], [-1.0], [{}])))
        hub.send(ids.parse("job", job))
        offsets += next(chunks).choices[0].logprobs.text_offset
    worker.finish(job)

    assert offsets == [0, 3, 5]
    assert list(chunks) == []


# ---- what goes wrong -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("suffix", "The end."), ("suffix", ""), ("n", 17), ("best_of", 17), ("logprobs", 6), ("max_tokens", 0),
        ("max_tokens", 512), ("temperature", 2.1), ("top_p", 0), ("stop", list("abcde")), ("seed", -1),
        ("logit_bias", {"50256": 1}), ("presence_penalty", 3), ("frequency_penalty", -3), ("prompt", " "),
        ("prompt", []), ("prompt", ["a", 1]), ("prompt", [[1], "a"]), ("prompt", ["a"] * 17), ("prompt", None),
        ("echo", "yes"), ("user", "u" * 513), ("functions", []), ("stream_options", {"include_usage": True}),
    ],
)  # fmt: skip
def test_what_cannot_be_honoured_is_refused_by_name(shared: Any, field: str, value: Any) -> None:
    with pytest.raises(openai.BadRequestError) as refused, openai_client(shared.app, shared.api.secret) as client:
        client.completions.create(**{**ASKED, "extra_body": {field: value}})
    assert str(refused.value.param).split(".")[0] == field
    assert refused.value.type == "invalid_request_error"


def test_what_does_not_go_together_is_refused_by_name(shared: Any) -> None:
    client = openai_client(shared.app, shared.api.secret)
    together: tuple[tuple[dict[str, Any], str], ...] = (
        ({"echo": True, "logprobs": 1}, "echo"),
        ({"n": 3, "best_of": 2}, "best_of"),
        ({"stream": True, "stream_options": {"include_obfuscation": True}}, "stream_options.include_obfuscation"),
    )
    for both, blamed in together:
        with pytest.raises(openai.BadRequestError) as refused:
            client.completions.create(**ASKED, **both)
        assert refused.value.param == blamed


def test_null_is_the_same_as_nothing(api: Api, finish: Finish) -> None:
    nulls = dict.fromkeys(
        ("suffix", "stop", "n", "best_of", "logprobs", "seed", "user", "stream", "stream_options", "logit_bias")
    )
    answer = finish(lambda: api.post("/v1/completions", json={**ASKED, **nulls}), words("!"))

    assert answer.status_code == 200


def test_errors_are_of_the_classes_that_the_client_knows(
    client: OpenAI, app: Flask, api: Api, operator: Api, place: Place
) -> None:
    def refused(kind: type[openai.APIStatusError], by: OpenAI = client, **asked: Any) -> openai.APIStatusError:
        with pytest.raises(kind) as error:
            by.completions.create(**{**ASKED, **asked})
        assert error.value.request_id
        return error.value

    key = {"Idempotency-Key": "k"}
    refused(openai.BadRequestError, n=0)
    refused(openai.AuthenticationError, by=openai_client(app, "qk_no"))
    assert refused(openai.NotFoundError, model="gpt-9").code == "model_not_found"
    assert refused(openai.InternalServerError, model="unloaded").code == "model_not_ready"
    stream = client.completions.create(**ASKED, extra_headers=key, stream=True)
    stream.close()
    refused(openai.UnprocessableEntityError, prompt="Twice", extra_headers=key)
    operator.request("PATCH", f"/v1/tenants/{ids.show('ten', place.tenant.id)}", json={"max_queued": 1})
    limited = refused(openai.RateLimitError)
    assert (limited.code, limited.type) == ("quota_exceeded", "rate_limit_error")
    operator.post(f"/v1/tenants/{ids.show('ten', place.tenant.id)}/suspend")
    refused(openai.PermissionDeniedError)


def test_a_failed_job_is_an_error_that_is_not_tried_again(client: OpenAI, api: Api, finish: Finish) -> None:
    with pytest.raises(openai.InternalServerError) as failed:
        finish(lambda: client.completions.create(**ASKED), state=State.FAILED)
    assert failed.value.code == "broken"
    assert failed.value.response.headers["X-Should-Retry"] == "false"


def test_a_cancelled_job_is_a_conflict(client: OpenAI, finish: Finish) -> None:
    with pytest.raises(openai.ConflictError) as cancelled:
        finish(lambda: client.completions.create(**ASKED), state=State.CANCELLED)
    assert cancelled.value.code == "job_cancelled"


def test_a_failure_in_mid_stream_is_an_error(
    client: OpenAI, api: Api, worker: FakeWorker, pool: ThreadPoolExecutor
) -> None:
    chunks = iter(client.completions.create(**ASKED, stream=True))
    [job] = queued(api)
    worker.claim()
    worker.finish(job, words(" upon"), state=State.FAILED)

    assert next(chunks).choices[0].text == " upon"
    with pytest.raises(openai.APIError) as failed:
        next(chunks)
    assert failed.value.code == "broken"


def test_beyond_the_seats_a_request_is_refused_and_queues_nothing(app: Flask, client: OpenAI, api: Api) -> None:
    sitting = [client.completions.create(**ASKED, stream=True) for _ in range(2)]

    for stream in (False, True):
        answer = api.post("/v1/completions", json={**ASKED, "stream": stream})
        problem(answer, 503, "too_many_readers")
        assert answer.headers["Retry-After"]
    assert len(shown(api.get("/v1/jobs"))["data"]) == 2
    for each in sitting:
        each.close()
    assert app.extensions["quire"].waiting.taken == 0


# ---- giving up -----------------------------------------------------------------------------------------------


def states(api: Api) -> list[str]:
    return [job["state"] for job in shown(api.get("/v1/jobs"))["data"]]


def test_a_client_that_goes_away_cancels_its_jobs(api: Api, pool: ThreadPoolExecutor) -> None:
    ours, theirs = socket.socketpair()
    asked = {"json": {"model": MODEL, "prompt": ["A", "B"]}, "environ_overrides": {"gunicorn.socket": ours}}
    waiting: Future[Any] = pool.submit(api.post, "/v1/completions", **asked)
    queued(api, 2)

    theirs.close()

    problem(waiting.result(10), 400, "client_left")
    ours.close()
    assert states(api) == ["cancelled"] * 2


def test_a_stream_that_is_left_cancels_its_job(client: OpenAI, api: Api) -> None:
    stream = client.completions.create(**ASKED, stream=True)
    queued(api)

    stream.close()

    assert states(api) == ["cancelled"]


def test_a_silent_client_of_a_stream_is_looked_for(api: Api) -> None:
    ours, theirs = socket.socketpair()
    answer = api.post(
        "/v1/completions", json={**ASKED, "stream": True}, buffered=False,
        environ_overrides={"gunicorn.socket": ours},
    )  # fmt: skip
    theirs.close()

    assert set(answer.iter_encoded()) == {b":\n\n"}
    ours.close()
    assert states(api) == ["cancelled"]


def test_with_a_key_a_client_may_go_away_and_come_back(
    app: Flask, client: OpenAI, api: Api, worker: FakeWorker
) -> None:
    key = {"Idempotency-Key": "k"}
    client.completions.create(**ASKED, stream=True, extra_headers=key).close()
    [job] = queued(api)
    worker.claim()
    worker.finish(job, words(" upon", finish="stop"))

    chunks = list(client.completions.create(**ASKED, stream=True, extra_headers=key))

    assert [chunk.choices[0].text for chunk in chunks] == [" upon"]
    assert states(api) == ["succeeded"]


def test_a_server_that_stops_gives_its_requests_up(app: Flask, api: Api, pool: ThreadPoolExecutor) -> None:
    waiting = pool.submit(api.post, "/v1/completions", json=ASKED)
    queued(api)

    app.extensions["quire"].waiting.dismiss()

    answer = waiting.result(10)
    problem(answer, 503, "stopping")
    assert answer.headers["Retry-After"]
    assert states(api) == ["cancelled"]


def test_an_answer_that_takes_too_long_is_given_up(app: Flask, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app.extensions["quire"].attending, "_longest", 0.01)

    answer = api.post("/v1/completions", json=ASKED)

    problem(answer, 504, "took_too_long")
    assert answer.headers["X-Should-Retry"] == "false"
    assert states(api) == ["cancelled"]


# ---- models --------------------------------------------------------------------------------------------------


def test_models_are_listed_and_looked_at(client: OpenAI) -> None:
    [model] = client.models.list().data
    assert (model.id, model.object, model.owned_by) == (MODEL, "model", "quire")
    assert client.models.retrieve(MODEL) == model
    with pytest.raises(openai.NotFoundError) as unknown:
        client.models.retrieve("gpt-9")
    assert unknown.value.code == "model_not_found"
