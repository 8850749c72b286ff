"""Sending a webhook: resolved, checked and connected to in one go, without proxies and without redirects."""

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from quire import __version__
from quire.webhooks.targets import Refused, Target, addresses, target_of

SECONDS = 15.0  # for each step of talking
LONGEST_SECONDS = 20.0  # for all of it, however slowly the other side drips; only a resolver may take longer
ADDRESSES = 3  # of one name that are tried
ANSWER_BYTES = 65_536  # that are read, and thrown away


@dataclass(frozen=True)
class Answer:
    """The status of an answer, or why there was none."""

    status: int | None
    error: str | None
    seconds: float


class Line:
    """A connection to one target, kept open between messages."""

    def __init__(
        self, url: str, *, allow_private: bool, seconds: float = SECONDS, longest: float = LONGEST_SECONDS
    ) -> None:
        self._url = url
        self._allow_private = allow_private
        self._seconds = seconds
        self._longest = longest
        self._connection: _Guarded | None = None

    def send(self, headers: Mapping[str, str], body: bytes) -> Answer:
        """Post one message."""
        began = time.monotonic()
        end = began + self._longest
        try:
            status = self._post(headers, body, end)
            error = None if 200 <= status < 300 else f"It answered {status}."
        except Refused as refused:
            status, error = None, f"It may not be called: {refused}."
        except (OSError, http.client.HTTPException, ValueError) as trouble:
            late = time.monotonic() >= end
            status, error = None, f"No answer: {'it took too long' if late else _reason(trouble)}."
        if error is not None:
            self.close()
        return Answer(status, error, time.monotonic() - began)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _post(self, headers: Mapping[str, str], body: bytes, end: float) -> int:
        target = target_of(self._url, allow_private=self._allow_private)
        if self._connection is None:
            found = addresses(target, allow_private=self._allow_private)[:ADDRESSES]
            self._connection = _Guarded(target, found, self._seconds)
        connection = self._connection
        connection.begin(end)
        cut = threading.Timer(max(0.0, end - time.monotonic()), connection.cut)
        cut.daemon = True
        cut.start()
        try:
            connection.request("POST", target.path, body, {
                "Content-Type": "application/json", "User-Agent": f"quire/{__version__}", **headers,
            })  # fmt: skip
            answer = connection.getresponse()
            if len(answer.read(ANSWER_BYTES)) == ANSWER_BYTES or answer.will_close:
                self.close()  # what is left of it would stand before the next answer
            return answer.status
        finally:
            cut.cancel()


class _Guarded(http.client.HTTPConnection):
    """Connects to the addresses that were checked, not to what the name resolves to by then."""

    def __init__(self, target: Target, resolved: list[str], seconds: float) -> None:
        super().__init__(target.host, target.port, timeout=seconds)
        self._target = target
        self._resolved = resolved
        self._seconds = seconds
        self._end = 0.0

    def begin(self, end: float) -> None:
        """Give up what comes now at that time of the monotonic clock."""
        self._end = end
        if self.sock is not None:
            self.sock.settimeout(self._left())

    def connect(self) -> None:
        problem: OSError = OSError("no address")
        for address in self._resolved:
            try:
                found: Any = socket.create_connection((address, self._target.port), self._left())
                break
            except OSError as error:
                problem = error
        else:
            raise problem
        if self._target.secure:
            found.settimeout(self._left())  # for the handshake as a whole
            found = ssl.create_default_context().wrap_socket(found, server_hostname=self._target.host)
        self.sock = found
        self.sock.settimeout(self._left())  # the cut may have found nothing to cut yet

    def cut(self) -> None:
        """End whatever is said or heard, from another thread."""
        if self.sock is not None:
            try:
                self.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # it is closed

    def _left(self) -> float:
        """Return the seconds that the next step may take.

        Raises:
            TimeoutError: none are left.

        """
        left = min(self._seconds, self._end - time.monotonic())
        if left <= 0:
            raise TimeoutError
        return left


def _reason(trouble: Exception) -> str:
    if isinstance(trouble, TimeoutError):
        return "it took too long"
    if isinstance(trouble, ssl.SSLError):
        return f"its certificate or TLS is refused ({trouble.reason or type(trouble).__name__})"
    if isinstance(trouble, ConnectionRefusedError):
        return "the connection was refused"
    return type(trouble).__name__
