"""Webhooks, as the server tells them."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from quire_client.shape import Json, known, time


@dataclass(frozen=True)
class Webhook:
    """An endpoint. `secret` is there once, in the answer that made it or gave it a new one."""

    id: str
    url: str = ""
    events: tuple[str, ...] = ()
    description: str | None = None
    enabled: bool = True
    disabled_why: str | None = None
    failures: int = 0  # since the last success
    created_at: datetime | None = None
    secret: str | None = field(default=None, repr=False)
    raw: Json = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def parse(cls, data: Json) -> Self:
        lists = {"events": tuple(data.get("events") or ()), "created_at": time(data.get("created_at"))}
        return cls(**known(cls, data) | lists | {"enabled": bool(data.get("enabled", True)), "raw": data})


@dataclass(frozen=True)
class Attempt:
    """One try. `status` is None where there was no answer; `error` None where it was taken."""

    at: datetime | None = None
    status: int | None = None
    error: str | None = None
    seconds: float = 0.0

    @classmethod
    def parse(cls, data: Json) -> Self:
        return cls(**known(cls, data) | {"at": time(data.get("at"))})


@dataclass(frozen=True)
class Delivery:
    """`state` is pending, delivered or failed."""

    id: str
    event_id: str = ""
    type: str = ""
    subject: str | None = None  # the id of what the event is of
    state: str = "pending"
    attempts: tuple[Attempt, ...] = ()
    due_at: datetime | None = None  # when it is tried next
    created_at: datetime | None = None
    delivered_at: datetime | None = None
    raw: Json = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def parse(cls, data: Json) -> Self:
        times = {name: time(data.get(name)) for name in ("due_at", "created_at", "delivered_at")}
        attempts = tuple(Attempt.parse(each) for each in data.get("attempts") or ())
        return cls(**known(cls, data) | times | {"attempts": attempts, "raw": data})
