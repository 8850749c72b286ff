"""What the clients asked and were answered."""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

SUBMIT, CANCEL, READ = "submit", "cancel", "read"


@dataclass(frozen=True)
class Event:
    """One request and its answer. `status` None: there was none, and it is not known what the server did."""

    at: float  # seconds since 1970, when the answer came
    tenant: str
    what: str
    status: int | None
    key: str = ""  # of a submission
    job: str = ""  # the id that was asked for, or answered
    state: str = ""  # answered
    texts: Sequence[str] = ()  # answered, of a job that has ended
    error: str = ""
    code: str = ""

    @property
    def accepted(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


@dataclass
class History:
    """Events of all clients; from any thread."""

    _events: list[Event] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, event: Event) -> Event:
        with self._lock:
            self._events.append(event)
        return event

    def events(self) -> list[Event]:
        with self._lock:
            return list(self._events)


def answered(tenant: str, what: str, status: int, body: Mapping[str, Any], **known: Any) -> Event:
    """Return the event of an answer that is JSON."""
    ended = body.get("state") in ("succeeded", "failed", "cancelled", "expired")
    pieces = (body.get("output") or {}).get("pieces") or ()
    return Event(
        at=time.time(),
        tenant=tenant,
        what=what,
        status=status,
        state=body.get("state", ""),
        texts=[piece["text"] for piece in pieces] if ended else (),
        code=body.get("code", ""),
        **{"job": body.get("id", "")} | known,
    )
