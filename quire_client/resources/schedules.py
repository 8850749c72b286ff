"""Schedules: batches at moments of a series."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TypedDict, Unpack

from quire_client.connection import Connection, Params, read
from quire_client.fields import plain
from quire_client.schedule import Occurrence, Schedule, Version
from quire_client.shape import Json
from quire_client.values import Page


class TimingFields(TypedDict, total=False):
    """Exactly one of `cron`, `rule` and `at`."""

    cron: str | None  # minute, hour, day, month, weekday
    rule: str | None  # RFC 5545
    at: datetime | str | None
    zone: str | None  # of IANA; UTC if not told
    starts_at: datetime | str | None
    ends_at: datetime | str | None


class ScheduleFields(TimingFields, total=False):
    """What is left out, or None, is the server's default."""

    rows: Sequence[Mapping[str, object]] | None
    rows_per_run: int | None
    catch_up: str | None  # skip, once or all
    catch_up_most: int | None
    overlap: str | None  # queue, skip or cancel
    jitter_seconds: int | None
    publish_by: bool | None
    priority: int | None
    max_running: int | None
    max_tokens: int | None
    deadline_minutes: int | None
    retention_hours: int | None
    metadata: Mapping[str, str] | None


class Schedules:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create(self, name: str, template: Mapping[str, object], **fields: Unpack[ScheduleFields]) -> Schedule:
        """Make a schedule. `template`: a job with placeholders, as `{{date}}`.

        Raises:
            BadRequestError: a field is wrong, or the template makes no job; `fields` of the error names it.

        """
        body = plain({"name": name, "template": template, **fields})
        # Without an Idempotency-Key a second arrival would make a second schedule.
        return read(self._connection.send("POST", "schedules", body=body, repeatable=False), Schedule.parse)

    def edit(
        self, schedule_id: str, name: str, template: Mapping[str, object], **fields: Unpack[ScheduleFields]
    ) -> Schedule:
        """Put another in its place, whole; what it was is kept, see `history`."""
        body = plain({"name": name, "template": template, **fields})
        response = self._connection.send("PUT", "schedules", schedule_id, body=body, repeatable=False)
        return read(response, Schedule.parse)

    def get(self, schedule_id: str) -> Schedule:
        return read(self._connection.send("GET", "schedules", schedule_id), Schedule.parse)

    def list(self) -> Iterator[Schedule]:
        """Yield every schedule, newest first."""
        cursor = None
        while True:
            params: Params = {"after": cursor}
            response = self._connection.send("GET", "schedules", params=params)
            page = read(response, lambda data: Page.parse(data, Schedule.parse))
            yield from page.data
            cursor = page.next_cursor
            if not page.has_more or cursor is None:
                return

    def delete(self, schedule_id: str) -> None:
        """Delete a schedule; the batches that it made stay."""
        self._connection.send("DELETE", "schedules", schedule_id)

    def pause(self, schedule_id: str) -> Schedule:
        return read(self._connection.send("POST", "schedules", schedule_id, "pause"), Schedule.parse)

    def resume(self, schedule_id: str) -> Schedule:
        """Go on with the next moment; what was missed meanwhile is not made good."""
        return read(self._connection.send("POST", "schedules", schedule_id, "resume"), Schedule.parse)

    def run(self, schedule_id: str) -> Occurrence:
        """Fire it once more, now."""
        response = self._connection.send("POST", "schedules", schedule_id, "run", repeatable=False)
        return read(response, Occurrence.parse)

    def upcoming(self, schedule_id: str, count: int = 10) -> tuple[datetime, ...]:
        """Return its next moments, with the offsets of its zone."""
        response = self._connection.send("GET", "schedules", schedule_id, "preview", params={"count": count})
        return read(response, _moments)

    def preview(self, count: int = 10, **timing: Unpack[TimingFields]) -> tuple[datetime, ...]:
        """Return the first moments of a schedule that is not made."""
        body = plain({**timing, "count": count})
        return read(self._connection.send("POST", "schedules", "preview", body=body), _moments)

    def history(self, schedule_id: str) -> tuple[Version, ...]:
        """Return what it was asked to be, newest first."""
        response = self._connection.send("GET", "schedules", schedule_id, "history")
        return read(response, lambda data: tuple(Version.parse(each) for each in data["data"]))

    def occurrences(self, schedule_id: str) -> Iterator[Occurrence]:
        """Yield what became of its moments, the latest first."""
        before: str | None = None
        while True:
            params: Params = {"before": before, "limit": 100}
            response = self._connection.send("GET", "schedules", schedule_id, "occurrences", params=params)
            found, more = read(response, _page)
            yield from found
            if not (more and found):
                return
            before = str(found[-1].raw["moment"])


def _page(data: Json) -> tuple[list[Occurrence], bool]:
    return [Occurrence.parse(each) for each in data["data"]], bool(data["has_more"])


def _moments(data: Json) -> tuple[datetime, ...]:
    return tuple(datetime.fromisoformat(each["local"]) for each in data["data"])
