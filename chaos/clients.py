"""Clients that do not give up: every request and every answer goes into the history."""

import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from chaos.checker import CANCELLED, DEADLINE, HELD, TERMINAL
from chaos.history import CANCEL, READ, SUBMIT, Event, History, answered
from chaos.intents import Intent
from chaos.works import ALL

PATIENCE = 120.0  # seconds for one request, all tries together
ANSWER = 30.0  # for one answer
HOLD = 10  # that the server is asked to hold an answer back
READING = 60.0  # that a client follows one job
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
AGAIN = frozenset({409, 429, 500, 502, 503, 504})


@dataclass(frozen=True)
class Account:
    """A tenant, and the key to it."""

    tenant: str
    api_key: str


class Client:
    """One connection of one tenant."""

    def __init__(self, url: str, account: Account, history: History) -> None:
        self._tenant = account.tenant
        self._history = history
        self._http = httpx.Client(
            base_url=f"{url}/v1",
            headers={"Authorization": f"Bearer {account.api_key}"},
            timeout=httpx.Timeout(ANSWER, connect=5.0),
        )

    def close(self) -> None:
        self._http.close()

    def do(self, intent: Intent) -> str:
        """Carry out an intent; returns the job's id, '' if nobody would take it."""
        request = body(intent)
        job = self.submit(intent, request)
        if intent.again:
            self.submit(intent, request)
        if job and intent.kind == CANCELLED:
            time.sleep(intent.seconds / 10)
            self.cancel(job)
        if job and intent.read:
            self.read(job)
        return job

    def submit(
        self, intent: Intent, request: dict[str, Any] | None = None, *, patience: float = PATIENCE, hold: int = 0
    ) -> str:
        """Submit until it is answered; returns the job's id, '' if nobody took it."""
        request = request or body(intent)
        headers = {"Idempotency-Key": intent.key} | ({"Prefer": f"wait={hold}"} if hold else {})
        event = self._ask("POST", "/jobs", SUBMIT, patience, body=request, headers=headers, key=intent.key)
        return event.job if event.accepted else ""

    def cancel(self, job: str) -> Event:
        return self._ask("POST", f"/jobs/{job}/cancel", CANCEL, PATIENCE, job=job)

    def read(self, job: str, seconds: float = READING) -> Event:
        """Wait for a job's end, as long as there is patience; returns the last answer."""
        deadline = time.monotonic() + seconds
        while True:
            event = self._ask("GET", f"/jobs/{job}", READ, PATIENCE, headers={"Prefer": f"wait={HOLD}"}, job=job)
            if event.state in TERMINAL or not event.accepted or time.monotonic() > deadline:
                return event

    def _ask(
        self,
        method: str,
        path: str,
        what: str,
        patience: float,
        *,
        body: object = None,
        headers: dict[str, str] | None = None,
        **known: Any,
    ) -> Event:
        deadline, pause = time.monotonic() + patience, FIRST_PAUSE
        content = None if body is None else json.dumps(body)
        while True:
            event = self._history.add(self._once(method, path, what, content, headers or {}, known))
            final = event.status is not None and event.status not in AGAIN
            if final or time.monotonic() > deadline:
                return event
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _once(
        self,
        method: str,
        path: str,
        what: str,
        content: str | None,
        headers: dict[str, str],
        known: dict[str, Any],
    ) -> Event:
        kind = {"Content-Type": "application/json"} if content else {}
        try:
            response = self._http.request(method, path, content=content, headers=headers | kind)
            return answered(self._tenant, what, response.status_code, response.json(), **known)
        except (httpx.TransportError, ValueError) as error:
            return Event(time.time(), self._tenant, what, None, error=type(error).__name__, **known)


def body(intent: Intent) -> dict[str, Any]:
    """Return the request of an intent. Times count from now, so that a retry would be another request."""
    times: dict[str, Any] = {}
    moment = (datetime.now(UTC) + timedelta(seconds=intent.seconds)).isoformat()
    if intent.kind == DEADLINE:
        times = {"deadline": moment}
    if intent.kind == HELD:
        times = {"not_before": moment}
    return ALL[intent.work].body() | {"priority": intent.priority, "metadata": intent.metadata()} | times


class Crowd:
    """Clients on threads of their own, which spread their jobs evenly over some seconds."""

    def __init__(
        self,
        url: str,
        accounts: Sequence[Account],
        history: History,
        work: Sequence[Sequence[Intent]],
        seconds: float,
    ) -> None:
        """`work`: what each client does; clients are dealt out to the accounts in turn."""
        self._threads = [
            threading.Thread(
                target=_carry_out,
                args=(Client(url, accounts[index % len(accounts)], history), mine, seconds),
                name=f"client-{index}",
                daemon=True,
            )
            for index, mine in enumerate(work)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def done(self) -> bool:
        return not any(thread.is_alive() for thread in self._threads)


def _carry_out(client: Client, work: Sequence[Intent], seconds: float) -> None:
    begun = time.monotonic()
    for number, intent in enumerate(work):
        time.sleep(max(0.0, begun + seconds * number / len(work) - time.monotonic()))
        client.do(intent)
    client.close()
