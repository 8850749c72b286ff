"""The events of a job, as Server-Sent Events."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from quire import ids
from quire.store.job import State
from quire.testing import RING, Place
from scheduler.compaction import compact
from tests.contract.client import Api, fields, problem
from tests.contract.working import FakeWorker, words


@dataclass(frozen=True)
class Event:
    name: str
    id: str | None
    data: Any


class Stream:
    """Reads the answer as it comes."""

    def __init__(self, api: Api, job: str, after: str | None = None, **headers: str) -> None:
        query = {} if after is None else {"after": after}
        self.answer = api.get(f"/v1/jobs/{job}/events", query_string=query, headers=headers, buffered=False)
        assert self.answer.status_code == 200, self.answer.text
        self._blocks = self._read()

    def _read(self) -> Iterator[str]:
        for chunk in self.answer.iter_encoded():
            yield from chunk.decode().split("\n\n")[:-1]

    def __next__(self) -> Event:
        for block in self._blocks:
            lines = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
            if "event" in lines:
                return Event(lines["event"], lines.get("id"), json.loads(lines["data"]))
        raise StopIteration

    def __iter__(self) -> "Stream":
        return self

    def until(self, name: str) -> Event:
        return next(event for event in self if event.name == name)

    def close(self) -> None:
        self.answer.close()


def text_of(events: list[Event], piece: int = 0) -> str:
    """Fold text events as a reader does."""
    text = ""
    for event in events:
        if event.name == "truncate":
            text = ""
        if event.name == "text":
            text += "".join(each["text"] for each in event.data["pieces"] if each["index"] == piece)
    return text


@pytest.fixture
def finished(api: Api, worker: FakeWorker) -> str:
    """A job that ended after three flushes."""
    job = str(api.submitted()["id"])
    worker.claim()
    worker.write(job, words("The sea"))
    worker.write(job, words(" is wide"))
    worker.finish(job, words(".", finish="stop"))
    return job


def test_a_job_is_followed_from_its_queue_to_its_end(api: Api, worker: FakeWorker, hub: Any) -> None:
    job = api.submitted()["id"]
    stream = Stream(api, job)
    assert stream.answer.mimetype == "text/event-stream"
    queued = stream.until("state")
    assert (queued.name, queued.data["state"], queued.data["queue"]["position"]) == ("state", "queued", 1)

    worker.claim()
    hub.send(ids.parse("job", job))
    assert next(event for event in stream if event.name == "state").data["state"] == "running"
    worker.write(job, words("The sea"))
    hub.send(ids.parse("job", job))
    assert stream.until("progress").data["tokens"] == 7
    first = stream.until("text")
    assert (first.id, first.data["pieces"][0]["text"], first.data["pieces"][0]["tokens"]) == ("1:7", "The sea", 7)

    worker.finish(job, words(".", finish="stop"))
    hub.send(ids.parse("job", job))
    last = list(stream)
    assert [event.name for event in last] == ["progress", "text", "state"]
    assert (last[1].id, last[1].data["pieces"][0]["finish_reason"]) == ("1:8", "stop")
    assert last[2].data["state"] == "succeeded"


def test_without_notices_changes_are_seen_within_a_second(api: Api, worker: FakeWorker) -> None:
    job = api.submitted()["id"]
    stream = Stream(api, job)
    next(stream)

    worker.claim()
    worker.write(job, words("The sea"))
    assert stream.until("text").data["pieces"][0]["text"] == "The sea"
    stream.close()


def test_a_reader_goes_on_from_any_event_also_when_the_log_was_joined(
    api: Api, place: Place, finished: str
) -> None:
    whole = list(Stream(api, finished))
    texts = [event for event in whole if event.name == "text"]
    assert [event.id for event in texts] == ["1:7", "1:15", "1:16"]

    for _ in range(2):
        for seen, event in enumerate(texts, start=1):
            for rest in (
                Stream(api, finished, after=event.id),
                Stream(api, finished, **{"Last-Event-ID": event.id}),
            ):
                assert [each for each in rest if each.name == "text"] == texts[seen:]
        assert compact(place.database, RING) in {0, 1}
    assert list(Stream(api, finished)) == whole
    assert api.job(finished)["output"]["pieces"][0]["text"] == text_of(whole) == "The sea is wide."


def test_a_finish_without_a_token_is_an_event_of_its_own(api: Api, worker: FakeWorker, place: Place) -> None:
    job = api.submitted()["id"]
    worker.claim()
    worker.write(job, words("The sea"))
    worker.finish(job, words("", finish="length"))
    expected = [("text", "1:8")]

    for _ in range(2):
        rest = list(Stream(api, job, after="1:7"))
        assert [(event.name, event.id) for event in rest if event.name == "text"] == expected
        assert rest[1].data["pieces"][0]["finish_reason"] == "length"
        assert [event.name for event in Stream(api, job, after="1:8")] == ["progress", "state"]
        compact(place.database, RING)


def test_a_position_that_the_log_does_not_know_is_answered_with_all_text_anew(api: Api, finished: str) -> None:
    for unknown in ("1:3", "1:999", "2:7"):
        events = list(Stream(api, finished, after=unknown))

        names = [event.name for event in events]
        assert names == ["progress", "truncate", "text", "text", "text", "state"]
        assert (events[1].id, events[1].data) == ("1:0", {"to": "1:0"})
        assert text_of(events) == "The sea is wide."


def test_pieces_are_told_apart(api: Api, worker: FakeWorker) -> None:
    job = api.submitted(n=2)["id"]
    worker.claim()
    worker.write(job, words("one"), words("two", piece=1))
    worker.finish(job, words("!", piece=1))

    events = list(Stream(api, job))
    assert [text_of(events, piece) for piece in (0, 1)] == ["one", "two!"]


def test_a_failure_is_told_with_its_reason(api: Api, worker: FakeWorker) -> None:
    job = api.submitted()["id"]
    worker.claim()
    worker.finish(job, state=State.FAILED)

    last = list(Stream(api, job))[-1]
    assert (last.data["state"], last.data["error"]["code"]) == ("failed", "broken")


def test_what_is_no_position_is_refused(api: Api, finished: str) -> None:
    for wrong in ("1", "1:", ":7", "a:b", "-1:7", "1:7:9", "1: 7", "1:9999999999", " "):
        answer = api.get(f"/v1/jobs/{finished}/events", query_string={"after": wrong})
        problem(answer, 400, "invalid_field")
        assert fields(answer) == {"after"}
    answer = api.get(f"/v1/jobs/{finished}/events?after=1:7", headers={"Last-Event-ID": "x"})
    assert fields(answer) == {"Last-Event-ID"}


def test_a_reader_may_limit_how_long_it_listens(api: Api) -> None:
    stream = Stream(api, api.submitted()["id"], Prefer="wait=1")
    assert [event.name for event in stream][:2] == ["state", "progress"]


def test_silence_is_broken_by_comments(api: Api) -> None:
    job = api.submitted()["id"]
    stream = Stream(api, job)
    assert any(block.startswith(":") for block in stream._blocks)
    stream.close()


def test_beyond_the_seats_a_reader_is_told_to_come_back(app: Any, api: Api) -> None:
    job = api.submitted()["id"]
    sitting = [Stream(api, job) for _ in range(2)]

    answer = api.get(f"/v1/jobs/{job}/events")
    problem(answer, 503, "too_many_readers")
    assert answer.headers["Retry-After"]
    for stream in sitting:
        stream.close()
    assert app.extensions["quire"].waiting.taken == 0


def test_a_reader_is_sent_away_when_the_server_stops(app: Any, api: Api) -> None:
    stream = Stream(api, api.submitted()["id"])
    next(stream)

    app.extensions["quire"].waiting.dismiss()

    rest = list(stream)
    assert [
        event.data["state"] for event in rest if event.name == "state" and event.data["state"] != "queued"
    ] == []


def test_a_job_deleted_under_a_reader_ends_the_stream(api: Api, worker: FakeWorker) -> None:
    job = api.submitted()["id"]
    stream = Stream(api, job)
    next(stream)

    api.post(f"/v1/jobs/{job}/cancel")
    api.delete(f"/v1/jobs/{job}")

    list(stream)
    problem(api.get(f"/v1/jobs/{job}/events"), 404, "not_found")


def test_a_stranger_reads_nothing(api: Api, stranger: Api, finished: str) -> None:
    problem(stranger.get(f"/v1/jobs/{finished}/events"), 404, "not_found")


def test_only_the_head_of_a_stream_holds_no_seat(app: Any, api: Api) -> None:
    job = api.submitted()["id"]

    answer = api.request("HEAD", f"/v1/jobs/{job}/events")
    assert (answer.status_code, answer.mimetype) == (200, "text/event-stream")
    answer.close()
    assert app.extensions["quire"].waiting.taken == 0
