"""What may be sent: bodies and queries, with every range. What is sent back is in responses.py."""

from datetime import date
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from api.auth import Scope
from api.binding import Format
from quire.asking.fields import Moment, Name
from quire.asking.request import MAX_SEED, JobRequest
from quire.store.job import Kind, State

MAX_INT = 2**31 - 1  # Postgres's integer
MAX_BULK = 10_000  # jobs in one body
MAX_DAYS = 36_500


class Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class BulkRequest(Request):
    jobs: list[JobRequest] = Field(min_length=1, max_length=MAX_BULK, description="All are queued, or none.")


class TenantRequest(Request):
    name: Name
    weight: float = Field(default=1.0, ge=0.001, le=1000, description="Share of tokens against other tenants.")
    max_running: int | None = Field(
        default=None, ge=1, le=MAX_INT, description="Jobs at once, of each model; default: no limit."
    )
    max_queued: int = Field(default=100_000, ge=1, le=10_000_000, description="Jobs waiting at once.")
    max_tokens_per_day: int | None = Field(
        default=None, ge=1, le=MAX_SEED, description="Billed and reserved, each day in UTC; default: no limit."
    )
    max_requests_per_minute: int | None = Field(default=None, ge=1, le=MAX_INT, description="Default: no limit.")
    retention_days: int | None = Field(
        default=None,
        ge=1,
        le=MAX_DAYS,
        description="Finished jobs are kept so long; default: the server's setting.",
    )
    paused: bool = Field(default=False, description="Nothing new of it is run; what runs goes on.")


class TenantChange(Request):
    """What is to be changed; null takes a limit away, and what is left out stays."""

    weight: float = Field(default=1.0, ge=0.001, le=1000)
    max_running: int | None = Field(default=None, ge=1, le=MAX_INT)
    max_queued: int = Field(default=100_000, ge=1, le=10_000_000)
    max_tokens_per_day: int | None = Field(default=None, ge=1, le=MAX_SEED)
    max_requests_per_minute: int | None = Field(default=None, ge=1, le=MAX_INT)
    retention_days: int | None = Field(default=None, ge=1, le=MAX_DAYS)
    paused: bool = False


class KeyRequest(Request):
    name: Name | None = None
    scopes: list[Literal["jobs:read", "jobs:write"]] = Field(
        default=[scope.value for scope in Scope], min_length=1, max_length=len(Scope)
    )


class PageQuery(Request):
    """Which page of a list."""

    limit: int = Field(default=20, ge=1, le=100)
    after: str | None = Field(default=None, max_length=200, description="The next_cursor of the page before.")


class TenantQuery(PageQuery):
    name: Name | None = Field(default=None, description="The tenant of this name alone.")


class KeyQuery(PageQuery):
    limit: int = Field(default=1000, ge=1, le=1000)  # all, for anybody's purpose


class JobQuery(PageQuery):
    state: list[State] = Field(default=[], description="Any of these; repeat it for several.")
    kind: Kind | None = None
    model: Name | None = None
    created_after: Moment | None = None
    created_before: Moment | None = None


class UsageQuery(Request):
    first_day: date | None = Field(default=None, description="In UTC, as 2026-11-23; default: 30 days in all.")
    last_day: date | None = Field(default=None, description="In UTC; default: today.")


class OutputQuery(Request):
    piece: int | None = Field(default=None, ge=0, le=MAX_INT, description="One piece alone, counted from 0.")


class EventsQuery(Request):
    after: str | None = Field(
        default=None, description="The id of an event to go on behind, as 1:57; default: the beginning."
    )


class BookQuery(Request):
    format: Format = Field(default="markdown", description="Of the file.")


class StuckQuery(PageQuery):
    seconds: int = Field(default=120, ge=0, le=MAX_INT, description="What counts as long.")
