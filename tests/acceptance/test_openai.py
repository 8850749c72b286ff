"""The official OpenAI client, unchanged, on the whole system as `quire up` starts it."""

import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI

from bench.system import System, running
from quire_client import Quire
from tests.waiting import until

pytestmark = pytest.mark.acceptance

MODEL, SLOW = "quire-verse", "slow"
# Some hundred megabytes to read for each token: a text of 900 takes seconds on any machine.
SHAPE = ("--layers", "12", "--width", "384", "--vocabulary", "4096")
LONG: dict[str, Any] = {
    "model": SLOW, "prompt": "The sea", "max_tokens": 900, "seed": 11,
    "extra_body": {"min_tokens": 900, "top_k": 40},
}  # fmt: skip
PROMPT = "The sea"


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("system")
    slow = folder / SLOW
    subprocess.run([sys.executable, "-m", "bench.engine.checkpoint", slow, *SHAPE], check=True)
    models = f"{MODEL}=checkpoints/{MODEL},{SLOW}={slow}"
    with running(folder / "data", QUIRE_MODELS=models) as system:
        yield system


@pytest.fixture
def client(system: System, request: pytest.FixtureRequest) -> Iterator[OpenAI]:
    with Quire(system.url, admin_token=system.admin_token) as operator:
        key = operator.keys.create(operator.tenants.create(request.node.name).id)
    with OpenAI(base_url=f"{system.url}/v1", api_key=key.secret) as client:
        yield client


def test_completions_are_made(client: OpenAI) -> None:
    one = client.completions.create(model=MODEL, prompt=PROMPT, seed=3, max_tokens=24)
    four = client.completions.create(model=MODEL, prompt=PROMPT, seed=3, max_tokens=24, n=4)

    assert four.choices[0].text == one.choices[0].text
    assert len({choice.text for choice in four.choices}) == 4
    assert four.usage is not None
    assert one.usage is not None
    assert four.usage.prompt_tokens == one.usage.prompt_tokens
    assert all(choice.finish_reason in {"stop", "length"} for choice in four.choices)


def test_a_stream_brings_the_text_that_the_whole_has(client: OpenAI) -> None:
    whole = client.completions.create(model=MODEL, prompt=PROMPT, seed=5, max_tokens=48, logprobs=2)
    chunks = list(client.completions.create(
        model=MODEL, prompt=PROMPT, seed=5, max_tokens=48, logprobs=2, stream=True,
        stream_options={"include_usage": True},
    ))  # fmt: skip

    choices = [choice for chunk in chunks for choice in chunk.choices]
    assert "".join(choice.text for choice in choices) == whole.choices[0].text
    told = [choice.logprobs for choice in choices if choice.logprobs]
    expected = whole.choices[0].logprobs
    assert expected is not None
    assert list(itertools.chain.from_iterable(each.text_offset or () for each in told)) == expected.text_offset
    assert chunks[-1].usage == whole.usage


def test_a_stop_string_ends_a_text_before_it(client: OpenAI) -> None:
    free = client.completions.create(model=MODEL, prompt=PROMPT, seed=7, max_tokens=48).choices[0].text
    stop = free[10:13]
    stopped = client.completions.create(model=MODEL, prompt=PROMPT, seed=7, max_tokens=48, stop=stop).choices[0]

    assert (stopped.text, stopped.finish_reason) == (free[: free.index(stop)], "stop")


def test_text_comes_to_its_reader_in_many_pieces(client: OpenAI) -> None:
    chunks = client.completions.create(stream=True, **LONG)

    assert sum(bool(chunk.choices[0].text) for chunk in chunks) > 5


def test_a_client_that_goes_away_cancels_its_job(system: System, client: OpenAI) -> None:
    impatient = client.with_options(timeout=1.0, max_retries=0)
    with pytest.raises(openai.APITimeoutError):
        impatient.completions.create(**LONG)
    stream = client.completions.create(stream=True, **LONG)
    next(iter(stream))
    stream.close()

    def states() -> list[str]:
        return [job["state"] for job in client.get("/jobs", cast_to=dict[str, Any])["data"]]

    until(lambda: states() == ["cancelled"] * 2)


def test_a_background_response_is_polled_followed_and_cancelled(client: OpenAI) -> None:
    made = client.responses.create(model=MODEL, input=PROMPT, background=True, max_output_tokens=24)
    until(lambda: client.responses.retrieve(made.id).status not in {"queued", "in_progress"}, seconds=60)
    seen = client.responses.retrieve(made.id)
    assert seen.status in {"completed", "incomplete"}
    events = list(client.responses.retrieve(made.id, stream=True))
    rest = list(client.responses.retrieve(made.id, stream=True, starting_after=3))
    assert rest == events[4:]
    assert (
        "".join(event.delta for event in events if event.type == "response.output_text.delta") == seen.output_text
    )

    long = client.responses.create(model=SLOW, input=PROMPT, background=True, max_output_tokens=900)
    assert client.responses.cancel(long.id).status == "cancelled"


def test_errors_are_of_the_classes_that_the_client_knows(client: OpenAI, system: System) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.completions.create(model=MODEL, prompt=PROMPT, suffix="The end.")
    assert refused.value.param == "suffix"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-9")
    with pytest.raises(openai.AuthenticationError):
        OpenAI(base_url=f"{system.url}/v1", api_key="qk_no").models.list()
    assert {model.id for model in client.models.list()} == {MODEL, SLOW}


def lines(count: int, model: str, broken: int = 0, **body: Any) -> bytes:
    """A file of completions, the first of each hundred with a body that is refused until `broken` are."""
    asked = [{"model": model, "prompt": PROMPT, **body} for _ in range(count)]
    for number in range(0, broken * 100, 100):
        asked[number]["suffix"] = "The end."
    requests = [
        {"custom_id": f"line-{number}", "method": "POST", "url": "/v1/completions", "body": each}
        for number, each in enumerate(asked)
    ]
    return "\n".join(map(json.dumps, requests)).encode()


def batch(client: OpenAI, content: bytes) -> Any:
    file = client.files.create(file=("lines.jsonl", content), purpose="batch")
    return client.batches.create(input_file_id=file.id, endpoint="/v1/completions", completion_window="24h")


def ended(client: OpenAI, made: Any) -> Any:
    until(lambda: client.batches.retrieve(made.id).status != "in_progress", seconds=240)
    return client.batches.retrieve(made.id)


def test_a_batch_of_a_thousand_lines_goes_to_its_end(client: OpenAI) -> None:
    made = ended(client, batch(client, lines(1_000, MODEL, broken=10, max_tokens=4)))

    counts = made.request_counts
    assert (made.status, counts.total, counts.completed, counts.failed) == ("completed", 1_000, 990, 10)
    output = [json.loads(each) for each in client.files.content(made.output_file_id).text.splitlines()]
    errors = [json.loads(each) for each in client.files.content(made.error_file_id).text.splitlines()]
    assert len({each["custom_id"] for each in output}) == 990
    assert {each["response"]["body"]["error"]["param"] for each in errors} == {"suffix"}
    assert {each["custom_id"] for each in errors} == {f"line-{number}" for number in range(0, 1_000, 100)}


def test_a_batch_is_cancelled_in_its_midst(client: OpenAI) -> None:
    made = batch(client, lines(200, SLOW, max_tokens=400))

    cancelled = client.batches.cancel(made.id)

    assert cancelled.status == "cancelled"
    errors = [json.loads(each) for each in client.files.content(cancelled.error_file_id).text.splitlines()]
    assert {each["error"]["code"] for each in errors} == {"batch_cancelled"}
