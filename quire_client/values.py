"""What else the server tells of: models, tenants, keys, and pages of anything."""

from collections.abc import Callable
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
    numerics: str | None = None
    workers: int = 0  # alive
    default: bool = False
    raw: Json = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def parse(cls, data: Json) -> Self:
        return cls(**known(cls, data) | {"raw": data})


@dataclass(frozen=True)
class Tenant:
    id: str
    name: str
    weight: float = 1.0
    max_running: int | None = None  # None: no limit
    max_queued: int | None = None
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
        """`active`, `suspended` or `deleted`."""
        return "deleted" if self.deleted_at else "suspended" if self.suspended_at else "active"


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
class Page(Generic[Value]):
    """One page of a list, and the cursor of the next."""

    data: tuple[Value, ...]
    has_more: bool = False
    next_cursor: str | None = None

    @classmethod
    def parse(cls, data: Json, item: Callable[[Json], Value]) -> Self:
        return cls(tuple(item(each) for each in data["data"]), bool(data.get("has_more")), data.get("next_cursor"))
