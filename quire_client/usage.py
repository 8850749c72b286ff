"""What was billed, by day and model."""

from dataclasses import dataclass, field
from datetime import date
from typing import Self

from quire_client.shape import Json, known


def days(first: date | None, last: date | None) -> dict[str, str | int | list[str] | None]:
    """Return the query for the accounts of some days."""
    return {"first_day": first.isoformat() if first else None, "last_day": last.isoformat() if last else None}


@dataclass(frozen=True)
class UsageLine:
    """One day (in UTC) and model. Tokens of a job count for the day it was submitted on."""

    day: date
    model: str
    jobs: int = 0  # that have ended
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    reserved_tokens: int = 0  # of jobs that have not ended, at most

    @classmethod
    def parse(cls, data: Json) -> Self:
        return cls(**known(cls, data) | {"day": date.fromisoformat(data["day"])})


@dataclass(frozen=True)
class Usage:
    """The newest day first. `remaining_tokens` is what is left of today; None without a limit."""

    lines: tuple[UsageLine, ...]
    used_today: int = 0
    max_tokens_per_day: int | None = None
    remaining_tokens: int | None = None
    raw: Json = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def parse(cls, data: Json) -> Self:
        today = data["today"]
        return cls(
            tuple(UsageLine.parse(each) for each in data["data"]),
            used_today=today["used_tokens"],
            max_tokens_per_day=today["max_tokens_per_day"],
            remaining_tokens=today["remaining_tokens"],
            raw=data,
        )
