"""What else the server tells of: models, tenants, keys, workers, stuck jobs, and pages of anything."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, Self, TypeVar

from quire_client.shape import Json, known, time

Value = TypeVar("Value")


@dataclass(frozen=True)
class Model:
    id: str
    created: int | None = None  # seconds since 1970
    owned_by: str = ""
    context_length: int = 0  # tokens
    vocab_size: int = 0
    kind: str = "text"  # of the jobs that it does
    renders: tuple[str, ...] = ()  # artifacts that its workers can make
    sampling: Mapping[str, int | float] = field(default_factory=dict)  # where a request does not say
    numerics: str | None = None
    workers: int = 0  # alive
    default: bool = False
    raw: Json = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def parse(cls, data: Json) -> Self:
        return cls(**known(cls, data) | {"renders": tuple(data.get("renders") or ()), "raw": data})


@dataclass(frozen=True)
class Tenant:
    id: str
    name: str
    weight: float = 1.0
    max_running: int | None = None  # None: no limit
    max_queued: int | None = None
    max_tokens_per_day: int | None = None
    max_requests_per_minute: int | None = None
    paused: bool = False
    retention_days: int | None = None  # of finished jobs; None: the server's setting
    created_at: datetime | None = None
    suspended_at: datetime | None = None
    deleted_at: datetime | None = None
    raw: Json = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def parse(cls, data: Json) -> Self:
        times = {name: time(data.get(name)) for name in ("created_at", "suspended_at", "deleted_at")}
        return cls(**known(cls, data) | times | {"raw": data})

    @property
    def state(self) -> str:
        """`active`, `paused`, `suspended` or `deleted`."""
        if self.deleted_at or self.suspended_at:
            return "deleted" if self.deleted_at else "suspended"
        return "paused" if self.paused else "active"


@dataclass(frozen=True)
class Receipt:
    """What is kept of a deleted tenant."""

    tenant_id: str
    name: str = ""
    request_id: str = ""
    key_fingerprint: str | None = None
    keys: int = 0
    jobs: int = 0  # removed so far
    chunks: int = 0
    artifacts: int = 0
    created_at: datetime | None = None  # when the data key was destroyed
    completed_at: datetime | None = None  # when the last row was removed
    raw: Json = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def parse(cls, data: Json) -> Self:
        times = {name: time(data.get(name)) for name in ("created_at", "completed_at")}
        return cls(**known(cls, data) | times | {"raw": data})


@dataclass(frozen=True)
class Key:
    """An API key. `secret` is there once, in the answer that made it."""

    id: str
    tenant_id: str = ""
    name: str | None = None
    prefix: str = ""
    scopes: tuple[str, ...] = ()
    created_at: datetime | None = None
    revoked_at: datetime | None = None
    secret: str | None = field(default=None, repr=False)
    raw: Json = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def parse(cls, data: Json) -> Self:
        times = {name: time(data.get(name)) for name in ("created_at", "revoked_at")}
        return cls(**known(cls, data) | times | {"scopes": tuple(data.get("scopes") or ()), "raw": data})


@dataclass(frozen=True)
class Worker:
    """A worker process, and what is left of its lease; below 0 since it lapsed."""

    id: str
    model: str = ""
    host: str = ""
    pid: int = 0
    slots: int = 0
    running: int = 0
    draining: bool = False
    live: bool = True
    lease_seconds: float = 0.0
    numerics: str | None = None
    started_at: datetime | None = None
    raw: Json = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def parse(cls, data: Json) -> Self:
        return cls(**known(cls, data) | {"started_at": time(data.get("started_at")), "raw": data})


@dataclass(frozen=True)
class StuckJob:
    """A job that is stuck; `why` is as docs/api.md lists it."""

    id: str
    tenant_id: str = ""
    model: str = ""
    state: str = ""
    why: tuple[str, ...] = ()
    since: datetime | None = None
    attempts: int = 0
    worker_id: str | None = None
    raw: Json = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def parse(cls, data: Json) -> Self:
        since = {"since": time(data.get("since"))}
        return cls(**known(cls, data) | since | {"why": tuple(data.get("why") or ()), "raw": data})


@dataclass(frozen=True)
class Page(Generic[Value]):
    """One page of a list, and the cursor of the next."""

    data: tuple[Value, ...]
    has_more: bool = False
    next_cursor: str | None = None

    @classmethod
    def parse(cls, data: Json, item: Callable[[Json], Value]) -> Self:
        return cls(tuple(item(each) for each in data["data"]), bool(data.get("has_more")), data.get("next_cursor"))
