"""What a schedule may ask for."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from api.batches.requests import PRIORITY
from api.schemas import MAX_INT, PageQuery, Request
from quire.asking.fields import MetadataKey, MetadataValue, Moment, Name, whole, wrong
from quire.asking.request import MAX_SEED
from quire.schedules.timing import LONGEST, NotATiming, Timing, zone_of
from quire.store.schedule import OccurrenceState

MAX_ROWS = 10_000

Expression = Annotated[str, Field(min_length=1, max_length=LONGEST), AfterValidator(whole)]


def _zone(name: str) -> str:
    try:
        zone_of(name)
    except NotATiming as error:
        raise wrong(str(error)) from None
    return name


class TimingRequest(Request):
    """Exactly one of `cron`, `rule` and `at`."""

    cron: Expression | None = Field(
        default=None, description="Minute, hour, day, month, weekday: 30 7 * * MON-FRI."
    )
    rule: Expression | None = Field(default=None, description="RFC 5545, as FREQ=MONTHLY;BYDAY=1MO;BYHOUR=9.")
    at: Moment | None = Field(default=None, description="Once.")
    zone: Annotated[str, Field(max_length=64), AfterValidator(_zone)] = Field(
        default="UTC", description="An IANA time zone, as Europe/Paris."
    )
    starts_at: Moment | None = Field(default=None, description="Nothing before; a rule counts from it.")
    ends_at: Moment | None = Field(default=None, description="Nothing after.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if [self.cron, self.rule, self.at].count(None) != 2:
            raise wrong("cron: exactly one of cron, rule and at is required")
        if self.starts_at and self.ends_at and self.ends_at <= self.starts_at:
            raise wrong("ends_at: should be after starts_at")
        return self

    @property
    def field(self) -> str:
        """The field that tells when."""
        return "cron" if self.cron else "rule" if self.rule else "at"

    def timing(self, begin: datetime) -> Timing:
        """Return the series; `begin`: where it starts if that is not told.

        Raises:
            PydanticCustomError: it cannot be read; the message begins with the field.

        """
        kind: Literal["cron", "rule", "at"] = "cron" if self.cron else "rule" if self.rule else "at"
        expression = self.cron or self.rule or (self.at.isoformat() if self.at else "")
        return Timing(kind, expression, self.zone, self.starts_at or begin)


class ScheduleRequest(TimingRequest):
    name: Name
    template: dict[str, Any] = Field(
        description="A job with placeholders: variables of the occurrence, as {{date}}, and of its row."
    )
    rows: list[dict[str, Any]] | None = Field(
        default=None, min_length=1, max_length=MAX_ROWS, description="Variables for the template, an item a row."
    )
    rows_per_run: int | None = Field(
        default=None, ge=1, le=MAX_ROWS, description="The next rows in rotation; default: all, each time."
    )
    catch_up: Literal["skip", "once", "all"] = Field(
        default="once", description="What becomes of moments that were missed."
    )
    catch_up_most: int = Field(default=10, ge=1, le=100, description="With all: the last so many.")
    overlap: Literal["queue", "skip", "cancel"] = Field(
        default="queue", description="If the batch before still runs: wait for it, skip, or cancel it."
    )
    jitter_seconds: int = Field(default=0, ge=0, le=3600, description="Each moment is put off by up to so long.")
    publish_by: bool = Field(default=False, description="Moments are when a batch is to be complete.")
    priority: int = Field(default=PRIORITY, ge=-100, le=100)
    max_running: int | None = Field(default=None, ge=1, le=MAX_INT)
    max_tokens: int | None = Field(default=None, ge=1, le=MAX_SEED)
    deadline_minutes: int | None = Field(default=None, ge=1, le=525_600, description="After a batch's start.")
    retention_hours: int | None = Field(default=None, ge=1, le=87_600)
    metadata: dict[MetadataKey, MetadataValue] = Field(default={}, max_length=16)

    @model_validator(mode="after")
    def _rotation(self) -> Self:
        if self.rows_per_run is not None and self.rows is None:
            raise wrong("rows_per_run: needs rows")
        if self.publish_by and self.jitter_seconds:
            raise wrong("jitter_seconds: does not go with publish_by")
        return self


class PreviewRequest(TimingRequest):
    count: int = Field(default=10, ge=1, le=100, description="Moments.")


class PreviewQuery(Request):
    count: int = Field(default=10, ge=1, le=100, description="Moments.")


class OccurrenceQuery(Request):
    state: list[OccurrenceState] = Field(default=[], description="Any of these; repeat it for several.")
    limit: int = Field(default=20, ge=1, le=100)
    before: Moment | None = Field(default=None, description="The moment of the last one seen.")


class ScheduleQuery(PageQuery):
    """Which page of the schedules."""
