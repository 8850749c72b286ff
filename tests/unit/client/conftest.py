"""A server that answers by script, and a clock that moves only when told: no sockets, no sleeps."""

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from rich.console import Console

from quire_client import Clock, Quire, Retry
from quire_client.cli.main import Outside, main

JOB = {
    "id": "job_1",
    "object": "job",
    "kind": "text",
    "state": "running",
    "blocked_by": None,
    "model": "quire-verse",
    "priority": 0,
    "metadata": {"shelf": "sea"},
    "input": {
        "form": "poem",
        "title": "The Harbour",
        "theme": "the sea",
        "style": None,
        "prompt": "The Harbour\n\nA poem about the sea.\n\n",
        "changes": [{"what": "line_endings", "count": 2}],
    },
    "parameters": {"n": 1, "seed": 7, "max_tokens": 128, "stop": ["\n\n"], "logprobs": None},
    "queue": {"position": None},
    "progress": {"tokens": 57, "max_tokens": 128},
    "attempts": 0,
    "numerics": "6f1d",
    "numerics_changed": False,
    "created_at": "2026-11-23T20:15:04.120000Z",
    "not_before": None,
    "deadline": None,
    "started_at": "2026-11-23T20:15:04.180000Z",
    "finished_at": None,
    "timings": {"queued_seconds": 0.06, "running_seconds": 1.2},
    "usage": {"prompt_tokens": 18, "completion_tokens": 57, "total_tokens": 75},
    "output": None,
    "error": None,
}
ENVIRONMENT = ("QUIRE_URL", "QUIRE_API_KEY", "QUIRE_ADMIN_TOKEN", "FORCE_COLOR", "TTY_COMPATIBLE")


def make_job(state: str = "running", *texts: str, **changes: Any) -> dict[str, Any]:
    """Build the JSON of a job; `texts` are its pieces, finished where the job has succeeded."""
    reason = "length" if state == "succeeded" else None
    pieces = [
        {"index": index, "text": text, "tokens": len(text.split()), "finish_reason": reason, "logprobs": None}
        for index, text in enumerate(texts)
    ]
    return JOB | {"state": state, "output": {"pieces": pieces} if pieces else None} | changes


def make_stream(*events: Any) -> httpx.Response:
    """Answer with events, each (name, data) or (name, data, id); a word alone is the event of that state."""
    blocks = ["retry: 1000"]
    for event in events:
        name, data, *identity = ("state", {"state": event}) if isinstance(event, str) else event
        blocks.append("".join(f"id: {each}\n" for each in identity) + f"event: {name}\ndata: {json.dumps(data)}")
    return httpx.Response(200, text="\n\n".join(blocks) + "\n\n", headers={"Content-Type": "text/event-stream"})


def make_text(text: str, end: int, **more: Any) -> tuple[str, dict[str, Any], str]:
    """Build a text event of the first piece."""
    piece = {"index": 0, "text": text, "tokens": len(text.split()), "finish_reason": None, "logprobs": None} | more
    return "text", {"pieces": [piece]}, f"1:{end}"


@dataclass
class Script:
    """Answers requests one after the other, with a response, an exception, or what a function makes."""

    answers: list[Any]
    requests: list[httpx.Request] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, httpx.Response) else answer(request)

    @property
    def bodies(self) -> list[Any]:
        return [json.loads(request.content) for request in self.requests]


@dataclass
class ManualClock:
    time: float = 1000.0
    sleeps: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.time += seconds

    @property
    def clock(self) -> Clock:
        return Clock(now=lambda: self.time, sleep=self.sleep)


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def job() -> Callable[..., dict[str, Any]]:
    return make_job


@pytest.fixture
def stream() -> Callable[..., httpx.Response]:
    return make_stream


@pytest.fixture
def written() -> Callable[..., tuple[str, dict[str, Any], str]]:
    return make_text


@pytest.fixture
def time() -> ManualClock:
    return ManualClock()


@pytest.fixture
def script() -> Callable[..., Script]:
    return lambda *answers: Script(list(answers))


@pytest.fixture
def connect(time: ManualClock) -> Iterator[Callable[..., Quire]]:
    """Make clients that talk to a script; jitter is none, so pauses are exact."""
    made: list[Quire] = []

    def make(answering: Script, **options: Any) -> Quire:
        given = {"url": "http://quire.test", "api_key": "qk_test", "admin_token": "operator"} | options
        retry = Retry(jitter=lambda: 1.0)
        made.append(Quire(**given, transport=httpx.MockTransport(answering), retry=retry, clock=time.clock))
        return made[-1]

    yield make
    for quire in made:
        quire.close()


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str
    script: Script

    @property
    def document(self) -> Any:
        return json.loads(self.out)

    @property
    def problem(self) -> Any:
        return json.loads(self.err)["error"]


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], time: ManualClock
) -> Callable[..., Ran]:
    """Run `quire` against answers given in order."""

    def run(line: str | list[str], *answers: Any) -> Ran:
        monkeypatch.setenv("QUIRE_URL", "http://quire.test")
        monkeypatch.setenv("QUIRE_API_KEY", "qk_test")
        monkeypatch.setenv("QUIRE_ADMIN_TOKEN", "operator")
        answering = Script(list(answers))
        outside = Outside(transport=httpx.MockTransport(answering), clock=time.clock)
        code = main(line.split() if isinstance(line, str) else line, outside)
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err, answering)

    return run


@pytest.fixture
def terminal() -> Console:
    """A console that believes a person looks at it, 40 columns wide."""
    return Console(
        file=io.StringIO(), force_terminal=True, width=40, height=20, highlight=False, color_system=None
    )
