"""What is told of schedules."""

from typing import Any, Literal

from pydantic import Field

from api.responses import Moment, Page, Response
from quire.store.schedule import OccurrenceState


class Schedule(Response):
    id: str
    object: Literal["schedule"] = "schedule"
    version: int = Field(description="Counts edits.")
    name: str
    cron: str | None
    rule: str | None
    at: Moment | None
    zone: str
    starts_at: Moment
    ends_at: Moment | None
    template: dict[str, Any]
    rows: list[dict[str, Any]]
    rows_per_run: int | None
    catch_up: Literal["skip", "once", "all"]
    catch_up_most: int
    overlap: Literal["queue", "skip", "cancel"]
    jitter_seconds: int
    publish_by: bool
    priority: int
    max_running: int | None
    max_tokens: int | None
    deadline_minutes: int | None
    retention_hours: int | None
    metadata: dict[str, str]
    paused: bool
    next_at: Moment | None = Field(description="Null: no moment is left.")
    fire_at: Moment | None = Field(description="When that is acted upon.")
    lead_seconds: int = Field(description="With publish_by: that a batch takes, by what was measured.")
    feasible: bool = Field(description="Whether the next batch can be complete by its moment.")
    fired: int = Field(description="Occurrences that were not skipped.")
    created_at: Moment
    updated_at: Moment


class SchedulePage(Page):
    data: list[Schedule]


class Version(Response):
    """What a schedule was asked to be, as it was sent."""

    version: int
    asked: dict[str, Any]
    created_at: Moment


class History(Response):
    object: Literal["list"] = "list"
    data: list[Version]


class Firing(Response):
    moment: Moment
    local: str = Field(description="The same in the schedule's zone, with its offset.")


class Preview(Response):
    object: Literal["list"] = "list"
    data: list[Firing]


class Occurrence(Response):
    moment: Moment
    number: int = Field(description="Among those not skipped, from 1; 0 of a skipped one.")
    state: OccurrenceState
    why: str | None = Field(description="It was skipped, failed, or waits.")
    manual: bool
    late: bool = Field(description="It could not be complete by its moment.")
    version: int
    batch_id: str | None
    fired_at: Moment
    started_at: Moment | None


class OccurrenceList(Response):
    object: Literal["list"] = "list"
    data: list[Occurrence]
    has_more: bool
