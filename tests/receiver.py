"""A server that takes webhooks and answers as it is told."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Message:
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """`status` is answered to all; while `hold` is set nothing is answered at all."""

    url: str = ""
    status: int = 204
    messages: list[Message] = field(default_factory=list)
    hold: threading.Event | None = None
    location: str | None = None

    @property
    def names(self) -> list[str]:
        return [message.headers["webhook-id"] for message in self.messages]


@contextmanager
def receiver(**settings: Any) -> Iterator[Receiver]:
    told = Receiver(**settings)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            told.messages.append(Message({name.lower(): value for name, value in self.headers.items()}, body))
            if told.hold is not None:
                told.hold.wait(60)
            self.send_response(told.status)
            if told.location:
                self.send_header("Location", told.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    told.url = f"http://127.0.0.1:{server.server_port}/hooks?shelf=sea"
    thread = threading.Thread(target=server.serve_forever, args=[0.01], daemon=True)
    thread.start()
    yield told
    if told.hold is not None:
        told.hold.set()
    server.shutdown()
    server.server_close()
    thread.join(10)
