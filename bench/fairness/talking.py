"""A client that costs next to nothing, so that the server is what is measured."""

import json
import socket
import time
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

IDLE_SECONDS = 1.0  # the server closes what was idle for two


class Talker:
    """One connection of one tenant, kept open."""

    def __init__(self, url: str, key: str, timeout: float = 120.0) -> None:
        address = urlsplit(url)
        self._connection = HTTPConnection(address.hostname or "", address.port, timeout=timeout)
        self._used = 0.0
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def send(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        if time.monotonic() - self._used > IDLE_SECONDS:
            self._connection.close()  # the server may have done so; the next request opens it again
        self._connection.request(method, path, body, self._headers)
        answer = self._connection.getresponse()
        text = answer.read()
        self._used = time.monotonic()
        return answer.status, text

    def asked(self, method: str, path: str, expected: int, body: object = None) -> dict[str, Any]:
        """Send and read JSON.

        Raises:
            RuntimeError: the answer has another status.

        """
        status, text = self.send(method, path, None if body is None else json.dumps(body).encode())
        if status != expected:
            raise RuntimeError(f"{method} {path}: {status} {text.decode(errors='replace')}")
        return dict(json.loads(text))

    def close(self) -> None:
        self._connection.close()


def hold(url: str, key: str, path: str, seconds: int) -> socket.socket:
    """Begin a long poll and return without reading its answer."""
    address = urlsplit(url)
    connection = socket.create_connection((address.hostname or "", address.port or 80))
    request = (
        f"GET {path} HTTP/1.1\r\nHost: {address.netloc}\r\nAuthorization: Bearer {key}\r\n"
        f"Prefer: wait={seconds}\r\n\r\n"
    )
    connection.sendall(request.encode())
    return connection
