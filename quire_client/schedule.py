"""Schedules, as the server tells them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from quire_client.shape import Json, known, time


@dataclass(frozen=True)
class Schedule:
    """`next_at` is its next moment, None if there is none left; `fire_at` when that is acted upon."""

    id: str
    name: str = ""
    version: int = 1  # counts edits
    cron: str | None = None
    rule: str | None = None
    at: datetime | None = None
    zone: str = "UTC"
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    template: Mapping[str, Any] = field(default_factory=dict)
    catch_up: str = "once"
    overlap: str = "queue"
    jitter_seconds: int = 0
    publish_by: bool = False
    paused: bool = False
    next_at: datetime | None = None
    fire_at: datetime | None = None
    lead_seconds: int = 0
    feasible: bool = True  # the next batch can be complete by its moment
    fired: int = 0
    raw: Json = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def parse(cls, data: Json) -> Self:
        moments = ("at", "starts_at", "ends_at", "next_at", "fire_at")
        times = {name: time(data.get(name)) for name in moments}
        return cls(**known(cls, data) | times | {"raw": data})

    @property
    def when(self) -> str:
        """Its expression, or its one time."""
        return self.cron or self.rule or (self.at.isoformat() if self.at else "")


@dataclass(frozen=True)
class Occurrence:
    """What became of a moment. `state` is due, started, skipped or failed."""

    moment: datetime | None = None
    number: int = 0
    state: str = "due"
    why: str | None = None
    manual: bool = False
    late: bool = False
    batch_id: str | None = None
    raw: Json = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def parse(cls, data: Json) -> Self:
        return cls(**known(cls, data) | {"moment": time(data.get("moment")), "raw": data})


@dataclass(frozen=True)
class Version:
    """What a schedule was asked to be, before an edit."""

    version: int
    asked: Mapping[str, Any] = field(default_factory=dict)
    created_at: datetime | None = None
    raw: Json = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def parse(cls, data: Json) -> Self:
        return cls(**known(cls, data) | {"created_at": time(data.get("created_at")), "raw": data})
