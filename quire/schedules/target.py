"""What a schedule makes: a template, its rows in rotation, and how the batch of an occurrence is run."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from quire.schedules.timing import zone_of

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)


class Target(BaseModel):
    """As it is stored, sealed; `api/schedules/requests.py` has the ranges."""

    model_config = ConfigDict(frozen=True)

    template: dict[str, Any]
    rows: list[dict[str, Any]] = []
    rows_per_run: int | None = None  # None: all of them, each time
    priority: int = 0
    max_running: int | None = None
    max_tokens: int | None = None
    deadline_minutes: int | None = None  # after the start of its batch
    retention_hours: int | None = None
    metadata: dict[str, str] = {}

    def encode(self) -> bytes:
        return self.model_dump_json().encode()

    @classmethod
    def decode(cls, data: bytes) -> "Target":
        return cls.model_validate_json(data)

    def rows_of(self, number: int) -> Sequence[Mapping[str, Any]]:
        """Return the rows of an occurrence, counted from 1: the next ones, and after the last the first again."""
        if not self.rows:
            return [{}]
        if self.rows_per_run is None:
            return self.rows
        first = (number - 1) * self.rows_per_run
        return [self.rows[(first + index) % len(self.rows)] for index in range(self.rows_per_run)]


def variables(moment: datetime, zone: str, number: int, seed: int) -> dict[str, Any]:
    """Return what a template may name beside its row. Dates are local, and named in English."""
    local = moment.astimezone(zone_of(zone))
    return {
        "date": f"{local:%Y-%m-%d}",
        "time": f"{local:%H:%M}",
        "year": local.year,
        "month": local.month,
        "day": local.day,
        "month_name": MONTHS[local.month - 1],
        "weekday": WEEKDAYS[local.weekday()],
        "week": local.isocalendar().week,
        "number": number,
        "seed": seed,
    }
