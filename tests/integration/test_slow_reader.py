"""A reader of events that takes nothing any more, on the server as it is run."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from http.client import HTTPException, HTTPResponse
from pathlib import Path

import httpx
import pytest

from quire import ids, testing
from quire.embedded.server import free_port
from quire.jobs import Claimed, Outcome
from quire.messages import Notices
from quire.pieces import Entry
from quire.settings import REPOSITORY
from quire.store.chunk import Position
from quire.store.job import State
from quire.testing import Place
from quire.textlog import chunk_row
from quire_client import events
from quire_client.events import Frame
from tests.contract.client import add_key
from tests.integration import steps
from tests.processes import answers, stop
from tests.waiting import in_background, until

PATIENCE = 5  # seconds, in place of the twenty that the server has
PASSAGES = 8
# Of all but the first two: more than the client has room for; more than the kernel keeps beside, up to 4 MB, so
# that the server's thread waits for room.
SIZES = (50_000, 1_000_000)
START = f"""
from api import streaming
from gunicorn.app.wsgiapp import run
streaming.TAKE_SECONDS = {PATIENCE}
run()
"""


class Book:
    """A running job with a long text, which more is written to."""

    def __init__(self, place: Place, redis_url: str) -> None:
        self._place = place
        self._claimed: Claimed = steps.running(place)
        self._offset = 0
        self._notices = Notices(redis_url)
        self.path = f"/v1/jobs/{ids.show(ids.JOB, self._claimed.id)}/events"

    def write(self, text: str, outcome: Outcome | None = None) -> None:
        """Commit one more passage, of one token."""
        job, at = self._claimed, Position(1, self._offset)
        key = testing.data_key(self._place.tenant)
        row = chunk_row(job.id, job.tenant_id, key, at, [Entry(0, (1,), text)])
        assert not steps.commit(self._place, steps.Report(job.id, job.fence, [row], outcome))
        self._offset += 1
        self._notices.send([job.id])

    def end(self) -> None:
        self.write("The end.", Outcome(State.SUCCEEDED, work=1, completion_tokens=self._offset + 1))

    @property
    def text(self) -> str:
        return steps.text_of(self._place, self._place.tenant, self._claimed.id)


class Server:
    """gunicorn, with room for two readers."""

    def __init__(self, url: str, secret: str) -> None:
        self.url = url
        self.headers = {"Authorization": f"Bearer {secret}"}

    def waiters(self) -> float:
        """How many requests hold a seat."""
        lines = httpx.get(f"{self.url}/metrics").text.splitlines()
        [line] = [line for line in lines if line.startswith("quire_http_waiters ")]
        return float(line.split()[1])

    def read(self, path: str, on_frame: Callable[[Frame], None] = lambda _: None, **headers: str) -> list[Frame]:
        """Read a stream to its end."""
        found = []
        with httpx.stream("GET", self.url + path, headers=self.headers | headers, timeout=60) as answer:
            assert answer.status_code == 200
            for frame in events.frames(events.lines(answer.iter_text())):
                on_frame(frame)
                found.append(frame)
        return found


@pytest.fixture
def server(place: Place, postgres_url: str, redis_url: str, tmp_path: Path) -> Iterator[Server]:
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("QUIRE_")} | {
        "QUIRE_DATABASE_URL": postgres_url,
        "QUIRE_REDIS_URL": redis_url,
        "QUIRE_MASTER_KEYS": testing.MASTER_KEYS,
        "QUIRE_MAX_WAITERS": "2",
        "QUIRE_STREAM_HEARTBEAT_SECONDS": "0.5",
    }
    log = tmp_path / "api.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-c", START, "api.wsgi:app", f"--bind=127.0.0.1:{port}", "--threads=8",
             "--worker-class=api.server.Worker", "--no-control-socket"],
            cwd=REPOSITORY, env=environment, stdout=sink, stderr=sink,
        )  # fmt: skip
    server = Server(f"http://127.0.0.1:{port}", add_key(place.database, place.tenant))
    until(lambda: answers(server.url), seconds=60)
    yield server
    stop(process)
    assert "Traceback" not in log.read_text()


def positions(frames: list[Frame]) -> list[str]:
    return [frame.id for frame in frames if frame.id]


class Dawdler:
    """Asks for a stream, takes two passages of it, and then no more."""

    def __init__(self, server: Server, path: str) -> None:
        host, port = server.url.removeprefix("http://").split(":")
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.connect((host, int(port)))
        key = server.headers["Authorization"]
        self._socket.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {key}\r\n\r\n".encode())
        self._answer = HTTPResponse(self._socket)
        self._answer.begin()
        assert self._answer.status == 200
        self._taken = b""
        while len(positions(self._frames())) < 2:
            self._taken += self._answer.read1(65536)

    def rest(self) -> list[Frame]:
        """Return what has come, with what was under way; the last event may have been cut off."""
        with self._socket, self._answer, suppress(HTTPException, ConnectionError):
            while part := self._answer.read1(65536):
                self._taken += part
        return self._frames()

    def _frames(self) -> list[Frame]:
        return list(events.frames(events.lines([self._taken.decode(errors="replace")])))


def folded(frames: list[Frame]) -> str:
    told = [events.parse(frame) for frame in frames]
    assert not any(isinstance(event, events.TruncateEvent) for event in told)
    return "".join(event.text for event in told if isinstance(event, events.TextEvent))


@pytest.mark.parametrize("size", SIZES)
def test_a_reader_who_takes_nothing_is_dropped_and_comes_back(
    server: Server, place: Place, redis_url: str, size: int
) -> None:
    book = Book(place, redis_url)
    for number in range(PASSAGES):
        book.write(f"{number}:" + chr(97 + number) * (size if number > 1 else 100))
    arrived: dict[str | None, float] = {}
    reading: Future[list[Frame]] = in_background(
        server.read, book.path, lambda frame: arrived.setdefault(frame.id, time.monotonic())
    )
    last = f"1:{PASSAGES}"
    until(lambda: last in arrived)

    slow = Dawdler(server, book.path)
    stopped = time.monotonic()
    assert server.waiters() == 2
    assert httpx.get(server.url + book.path, headers=server.headers).status_code == 503

    # Others are told meanwhile, at once.
    written = time.monotonic()
    book.write("More.")
    more = f"1:{PASSAGES + 1}"
    until(lambda: more in arrived)
    assert server.waiters() == 2
    assert arrived[more] - written < PATIENCE / 2

    until(lambda: server.waiters() == 1)
    assert PATIENCE <= time.monotonic() - stopped < PATIENCE + 4  # the heartbeat finds it, if nothing else does

    seen = slow.rest()
    assert 2 <= len(positions(seen)) < PASSAGES
    book.end()
    again = server.read(book.path, **{"Last-Event-ID": positions(seen)[-1]})
    by_query = server.read(f"{book.path}?after={positions(seen)[-1]}")
    whole = reading.result(30)
    assert folded(seen) + folded(again) == folded(seen) + folded(by_query) == folded(whole) == book.text
    assert positions(seen) + positions(again) == positions(whole)
    assert len(set(positions(whole))) == PASSAGES + 2
