"""gunicorn as it is run: what it refuses by itself is a problem document too."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPResponse
from pathlib import Path

import httpx
import pytest

from api import problems
from quire import testing
from quire.embedded.server import free_port
from quire.settings import REPOSITORY
from tests.waiting import until

SECRET = "qk_" + "s" * 12 + "_" + "e" * 43


class Server:
    def __init__(self, port: int, log: Path) -> None:
        self.port, self.log = port, log

    def send(self, request: bytes) -> HTTPResponse:
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(request)
            response = HTTPResponse(connection)
            response.begin()
            response.content = response.read()
            return response


@pytest.fixture(scope="module")
def server(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    port, log = free_port(), tmp_path_factory.mktemp("server") / "api.log"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("QUIRE_")} | {
        "QUIRE_DATABASE_URL": postgres_server,
        "QUIRE_REDIS_URL": "redis://127.0.0.1:1/0",
        "QUIRE_MASTER_KEYS": testing.MASTER_KEYS,
        "QUIRE_LOG_LEVEL": "DEBUG",
    }
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "api.wsgi:app", f"--bind=127.0.0.1:{port}", "--threads=4",
             "--worker-class=api.server.Worker", "--no-control-socket"],
            cwd=REPOSITORY, env=environment, stdout=sink, stderr=sink,
        )  # fmt: skip
    until(lambda: answers(port), seconds=60)
    yield Server(port, log)
    process.terminate()
    process.wait(30)


def answers(port: int) -> bool:
    with suppress(httpx.TransportError):
        return httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
    return False


HOST = b"Host: localhost\r\n"


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        (b"GET /" + b"x" * 5000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414, "uri_too_long"),
        (b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"x" * 10_000 + b"\r\n\r\n", 431, "headers_too_large"),
        (b"GET / HTTP/1.1\r\n" + HOST + b"X: x\r\n" * 200 + b"\r\n", 431, "headers_too_large"),
        (b"nonsense\r\n\r\n", 400, "invalid_http"),
        (b"GET / HTTP/9.9\r\n" + HOST + b"\r\n", 400, "invalid_http"),
        (b"GET / HTTP/1.1\r\n" + HOST + b"bad header: x\r\n\r\n", 400, "invalid_http"),
        (b"GET / HTTP/1.1\r\n" + HOST + b"Content-Length: x\r\n\r\n", 400, "invalid_http"),
        (b"GET / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: odd\r\n\r\n", 400, "invalid_http"),
        (
            b"POST /v1/jobs HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
            "invalid_http",
        ),
    ],
    ids=["long line", "long header", "many headers", "nonsense", "version", "name", "length", "coding", "both"],
)
def test_what_cannot_be_parsed_gets_a_problem(server: Server, request_: bytes, status: int, code: str) -> None:
    answer = server.send(request_)

    assert (answer.status, answer.getheader("Content-Type")) == (status, "application/problem+json")
    assert answer.getheader("X-Request-Id")
    value = problems.Problem.model_validate_json(answer.content, strict=True)
    assert (value.status, value.code, value.error.code) == (status, code, code)


def test_a_refused_request_leaves_no_credential_in_the_log(server: Server) -> None:
    server.send(b"GET / HTTP/1.1\r\n" + HOST + f"Authorization : Bearer {SECRET}\r\n\r\n".encode())

    assert "refused a request" in server.log.read_text()
    assert "e" * 43 not in server.log.read_text()


def test_what_can_be_parsed_is_answered_by_the_app(server: Server) -> None:
    answer = server.send(b"GET /nowhere HTTP/1.1\r\n" + HOST + b"\r\n")

    assert (answer.status, answer.getheader("Content-Type")) == (404, "application/problem+json")
