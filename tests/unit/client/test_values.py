"""Values are what the server said, and bear what it does not say yet, or no more."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from quire_client import JobCancelledError, JobEndedError, JobExpiredError, JobFailedError
from quire_client.batch import Batch
from quire_client.job import Job

Make = Callable[..., Any]


def test_a_job_is_read_whole(job: Make) -> None:
    read = Job.parse(job("running", "The sea", queue={"position": 3}))

    assert (read.id, read.state, read.model, read.metadata) == (
        "job_1",
        "running",
        "quire-verse",
        {"shelf": "sea"},
    )
    assert (read.queue_position, read.queue_more, read.eta) == (3, False, None)
    assert (read.progress.tokens, read.progress.max_tokens) == (57, 128)
    assert (read.parameters.seed, read.parameters.stop) == (7, ("\n\n",))
    assert read.input is not None
    assert read.input.changes[0].what == "line_endings"
    assert read.usage.completion_tokens == 57
    assert read.timings.running_seconds == 1.2
    assert (read.text, read.pieces[0].finish_reason) == ("The sea", None)


def test_times_carry_their_zone(job: Make) -> None:
    read = Job.parse(job())

    assert read.created_at == datetime(2026, 11, 23, 20, 15, 4, 120000, tzinfo=UTC)
    assert read.finished_at is None


def test_fields_of_a_newer_server_are_ignored_but_kept_in_raw(job: Make) -> None:
    data = job("running", "The sea", colour="blue")
    data["parameters"] = data["parameters"] | {"mood": 3}
    data["output"]["pieces"][0]["rhyme"] = "abab"

    read = Job.parse(data)

    assert read.text == "The sea"
    assert read.raw["colour"] == "blue"


def test_a_job_of_a_list_has_neither_input_nor_pieces(job: Make) -> None:
    data = {name: value for name, value in job().items() if name not in ("input", "output")}

    read = Job.parse(data)

    assert (read.input, read.pieces, read.text) == (None, (), "")


def test_the_least_that_a_job_needs_is_an_id_and_a_state() -> None:
    assert Job.parse({"id": "job_1", "state": "queued"}).parameters.max_tokens == 128


def test_nulls_stand_for_nothing(job: Make) -> None:
    read = Job.parse(job(queue=None, progress=None, timings=None, usage=None, parameters=None, metadata=None))

    assert (read.queue_position, read.metadata, read.usage.total_tokens) == (None, {}, 0)


def test_logprobs_are_read_where_they_were_asked_for(job: Make) -> None:
    data = job("succeeded", "The")
    data["output"]["pieces"][0]["logprobs"] = {
        "tokens": ["The"],
        "token_logprobs": [-0.5],
        "top_logprobs": [{"The": -0.5, "A": -1.5}],
    }

    (piece,) = Job.parse(data).pieces

    assert piece.logprobs is not None
    assert piece.logprobs.token_logprobs == (-0.5,)
    assert piece.logprobs.top_logprobs[0]["A"] == -1.5


@pytest.mark.parametrize(
    ("state", "terminal"),
    [("queued", False), ("running", False), ("succeeded", True), ("failed", True), ("cancelled", True)],
)
def test_a_job_knows_whether_it_has_ended(job: Make, state: str, terminal: bool) -> None:
    assert Job.parse(job(state)).is_terminal is terminal


def test_a_state_of_a_newer_server_does_not_make_clients_wait_for_ever(job: Make) -> None:
    assert Job.parse(job("archived")).is_terminal


def test_a_good_job_passes_through_raise_for_state(job: Make) -> None:
    read = Job.parse(job("succeeded", "The sea"))

    assert read.raise_for_state() is read


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("failed", JobFailedError),
        ("cancelled", JobCancelledError),
        ("expired", JobExpiredError),
        ("archived", JobEndedError),
    ],
)
def test_raise_for_state_has_an_error_for_each_bad_end(job: Make, state: str, kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught:
        Job.parse(job(state)).raise_for_state()
    assert type(caught.value) is kind


def test_a_failed_job_says_why(job: Make) -> None:
    failed = Job.parse(job("failed", error={"code": "worker_lost", "message": "The worker died."}))

    with pytest.raises(JobFailedError, match="job_1 failed: worker_lost: The worker died") as caught:
        failed.raise_for_state()
    assert (caught.value.job_id, caught.value.code) == ("job_1", "worker_lost")


def test_a_batch_in_openais_form_is_a_batch_too() -> None:
    data = {
        "id": "batch_1", "object": "batch", "status": "failed", "endpoint": "/v1/completions",
        "created_at": 1_795_000_000,
        "failed_at": 1_795_000_060, "completed_at": None, "expires_at": 1_795_086_400,
        "metadata": {"shelf": "sea"},
        "request_counts": {"total": 3, "completed": 1, "failed": 2},
        "usage": {"input_tokens": 4, "output_tokens": 7, "total_tokens": 11},
    }  # fmt: skip

    read = Batch.parse(data)

    assert (read.id, read.state, read.is_over, read.metadata) == ("batch_1", "failed", True, {"shelf": "sea"})
    assert (read.counts.total, read.counts.succeeded, read.counts.failed) == (3, 1, 2)
    assert read.usage.total_tokens == 11
    assert read.created_at == datetime.fromtimestamp(1_795_000_000, UTC)
    assert read.finished_at == datetime.fromtimestamp(1_795_000_060, UTC)
    with pytest.raises(JobEndedError):
        read.raise_for_state()
    running = Batch.parse({"id": "batch_1", "status": "validating", "created_at": 1_795_000_000})
    assert (running.state, running.is_over) == ("running", False)
