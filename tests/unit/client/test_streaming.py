"""Event streams: what the caller sees, and how the client comes back when they break."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from quire_client import (
    ConfigurationError,
    ConnectionFailedError,
    Job,
    NotFoundError,
    ProgressEvent,
    StateEvent,
    TextEvent,
    UnexpectedAnswerError,
    WaitTimeoutError,
)
from quire_client.events import lines

Make = Callable[..., Any]


def broken_off(whole: httpx.Response) -> httpx.Response:
    """Let an answer break off behind what it says."""

    class Body(httpx.SyncByteStream):
        def __iter__(self) -> Any:
            yield whole.content
            raise httpx.RemoteProtocolError("peer closed connection")

    return httpx.Response(200, stream=Body())


def answered(data: dict[str, Any]) -> httpx.Response:
    return httpx.Response(200, json=data)


def test_events_are_told_as_they_are(connect: Make, script: Make, stream: Make, written: Make) -> None:
    server = script(
        stream(
            ("state", {"state": "queued", "queue": {"position": 3, "more": False, "eta": None}}),
            "running",
            ("progress", {"tokens": 2, "max_tokens": 9}),
            written("The sea", 2),
            ("weather", {"rain": True}),
            ("state", {"state": "failed", "error": {"code": "broken", "message": "It broke."}}),
        )
    )

    events = list(connect(server).jobs.stream("job_1"))

    assert [type(event) for event in events] == [StateEvent, StateEvent, ProgressEvent, TextEvent, StateEvent]
    assert events[0].queue_position == 3
    assert (events[3].text, events[3].id) == ("The sea", "1:2")
    assert events[4].error.code == "broken"
    assert server.requests[0].url.path == "/v1/jobs/job_1/events"


def test_a_stream_that_breaks_goes_on_behind_the_last_event(
    connect: Make, script: Make, stream: Make, written: Make, time: Any
) -> None:
    server = script(
        broken_off(stream("running", written("The", 1))),
        *[httpx.ConnectError("refused")] * 3,
        httpx.Response(503),
        stream("running", written(" sea", 2)),
        stream("running", written(".", 3), "succeeded"),
    )

    events = list(connect(server).jobs.stream("job_1"))

    assert "".join(event.text for event in events if isinstance(event, TextEvent)) == "The sea."
    assert [event.state for event in events if isinstance(event, StateEvent)] == ["running", "succeeded"]
    assert [dict(request.url.params) for request in server.requests[-2:]] == [{"after": "1:1"}, {"after": "1:2"}]
    assert time.sleeps


def test_characters_that_unicode_calls_ends_of_lines_are_text(connect: Make, script: Make) -> None:
    piece = '{"index": 0, "text": "The\u2028sea\u2029is\x85grey.", "tokens": 4}'
    body = (
        f'id: 1:4\nevent: text\ndata: {{"pieces": [{piece}]}}\n\nevent: state\ndata: {{"state": "succeeded"}}\n\n'
    )

    text, _ended = connect(script(httpx.Response(200, text=body))).jobs.stream("job_1")

    assert text.text == "The\u2028sea\u2029is\x85grey."


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_lines_end_as_the_standard_has_it_however_they_come(size: int) -> None:
    text = "a\rb\r\nc\n\nd\x0b\u2028e\r\n\r\nf\r"

    bits = [text[start : start + size] for start in range(0, len(text), size)]

    assert list(lines(bits)) == ["a", "b", "c", "", "d\x0b\u2028e", "", "f"]


def test_an_event_cut_off_in_the_middle_is_none(connect: Make, script: Make, stream: Make, written: Make) -> None:
    half = httpx.Response(200, text='id: 1:9\nevent: text\ndata: {"pieces": [')
    server = script(half, stream(written("The sea", 2), "succeeded"))

    events = list(connect(server).jobs.stream("job_1"))

    assert "after" not in server.requests[1].url.params
    assert [event.id for event in events] == ["1:2", None]


def test_a_stream_begins_behind_any_event(connect: Make, script: Make, stream: Make) -> None:
    server = script(stream("succeeded"))

    list(connect(server).jobs.stream("job_1", after="1:57"))

    assert server.requests[0].url.params["after"] == "1:57"


def test_a_job_tells_its_own_events(connect: Make, script: Make, job: Make, stream: Make, written: Make) -> None:
    server = script(answered(job()), stream(written("The sea", 2), "succeeded"))

    events = list(connect(server).jobs.get("job_1").stream())

    assert [event.text for event in events if isinstance(event, TextEvent)] == ["The sea"]
    with pytest.raises(ConfigurationError):
        Job("job_1", "running").stream()


def test_a_stream_ends_at_its_deadline(connect: Make, script: Make, stream: Make, time: Any) -> None:
    def late(_request: httpx.Request) -> httpx.Response:
        time.time += 10
        return stream("queued")

    server = script(late)

    with pytest.raises(WaitTimeoutError, match=r"queued after 9\.5 s"):
        list(connect(server).jobs.stream("job_1", timeout=9.5))
    assert server.requests[0].headers["Prefer"] == "wait=10"


def test_the_first_connection_fails_soon_when_nobody_answers(connect: Make, script: Make) -> None:
    with pytest.raises(ConnectionFailedError):
        list(connect(script(*[httpx.ConnectError("refused")] * 4)).jobs.stream("job_1"))


def test_what_is_no_event_of_the_api_is_told(connect: Make, script: Make) -> None:
    with pytest.raises(UnexpectedAnswerError, match="event text"):
        list(connect(script(httpx.Response(200, text="event: text\ndata: 1\n\n"))).jobs.stream("job_1"))


def test_a_job_deleted_meanwhile_ends_the_stream(connect: Make, script: Make, stream: Make) -> None:
    server = script(stream("running"), httpx.Response(404, json={"detail": "No such job"}))

    with pytest.raises(NotFoundError, match="No such job"):
        list(connect(server).jobs.stream("job_1"))


def test_watch_folds_the_events_into_the_job(
    connect: Make, script: Make, job: Make, stream: Make, written: Make
) -> None:
    server = script(
        answered(job("queued")),
        stream(
            "queued",
            "running",
            ("progress", {"tokens": 1, "max_tokens": 9}),
            written("The", 1),
            ("truncate", {"to": "1:0"}, "1:0"),
            written("A sea", 2, finish_reason="stop"),
            "succeeded",
        ),
        answered(job("succeeded", "A sea")),
    )

    seen = list(connect(server).jobs.watch("job_1"))

    assert [(each.state, each.text) for each in seen] == [
        ("queued", ""), ("running", ""), ("running", "The"), ("running", "A sea"), ("succeeded", "A sea"),
    ]  # fmt: skip
    assert seen[3].progress.tokens == 1
    assert seen[3].pieces[0].finish_reason == "stop"


def test_pieces_grow_side_by_side(connect: Make, script: Make, job: Make, stream: Make) -> None:
    def gained(*pieces: tuple[int, str]) -> tuple[str, dict[str, Any]]:
        logprobs = {"tokens": ["x"], "token_logprobs": [-1.0], "top_logprobs": [{}]}
        return "text", {"pieces": [{"index": i, "text": t, "tokens": 1, "logprobs": logprobs} for i, t in pieces]}

    server = script(
        answered(job()),
        stream(gained((0, "a"), (1, "x")), gained((1, "y")), "succeeded"),
        answered(job("succeeded")),
    )

    *_, last, _ended = connect(server).jobs.watch("job_1")

    assert [(piece.text, piece.tokens) for piece in last.pieces] == [("a", 1), ("xy", 2)]
    assert last.pieces[1].logprobs.token_logprobs == (-1.0, -1.0)


def test_watch_of_an_ended_job_asks_once(connect: Make, script: Make, job: Make) -> None:
    server = script(answered(job("succeeded")))

    assert [each.state for each in connect(server).jobs.watch("job_1")] == ["succeeded"]
