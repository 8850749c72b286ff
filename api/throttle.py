"""Counting attempts with bad credentials, so that whoever goes on and on is told to wait.

A key holds 256 random bits, which nobody guesses. So nobody is locked out: a good key is always looked up and
always works, whatever its neighbours behind the same address do, and whoever knows its prefix. What is answered
with 429 in place of 401 is the attempts that fail: a client with a wrong key backs off, and the log shows it.
"""

import ipaddress
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from flask import Request

WINDOW = 60.0  # seconds
MOST = 10_000  # names remembered at once; the one longest unseen is forgotten first
IPV6_SITE = 64  # bits of an IPv6 address that name a customer's network; the rest is theirs to choose


@dataclass
class _Window:
    start: float
    failures: int = 0


class Failures:
    """Failures by name, in windows of a minute that begin with the first one. Each process counts for itself."""

    def __init__(self, limit: int, *, most: int = MOST, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._most = most
        self._clock = clock
        self._lock = threading.Lock()
        self._windows: OrderedDict[str, _Window] = OrderedDict()

    def __len__(self) -> int:
        return len(self._windows)

    def note(self, *names: str) -> int | None:
        """Count one failure under each name; returns the seconds to wait if one has had too many, else None."""
        with self._lock:
            waits = [wait for name in names if (wait := self._count(name)) is not None]
            while len(self._windows) > self._most:
                self._windows.popitem(last=False)
        return max(waits, default=None)

    def _count(self, name: str) -> int | None:
        now = self._clock()
        window = self._windows.get(name)
        if window is None or now >= window.start + WINDOW:
            window = self._windows[name] = _Window(now)
        self._windows.move_to_end(name)
        window.failures += 1
        return math.ceil(window.start + WINDOW - now) if window.failures > self._limit else None


def client_address(request: Request, proxies: int) -> str:
    """Return the address that a request came from, as far as it can be trusted.

    `proxies` is the number of own proxies in front, each of which appends whom it was called by to
    X-Forwarded-For. What stands before those entries, the client may have made up.
    """
    address = request.remote_addr or ""
    if proxies:
        told = [part.strip() for part in ",".join(request.headers.getlist("X-Forwarded-For")).split(",")]
        if len(told) >= proxies and told[-proxies]:
            address = told[-proxies]
    return _site(address)


def _site(address: str) -> str:
    bare = address.removeprefix("[").partition("]")[0].partition("%")[0]
    if bare.count(":") == 1:  # IPv4 and a port
        bare = bare.partition(":")[0]
    try:
        parsed = ipaddress.ip_address(bare)
    except ValueError:
        return address[:64]
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, IPV6_SITE), strict=False))
