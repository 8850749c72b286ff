from dataclasses import dataclass
from enum import StrEnum

from redis import Redis

from quire.database import Database
from quire.settings import Settings


class Level(StrEnum):
    OK = "ok"
    WARN = "warn"  # it works, but not as it should
    FAIL = "fail"  # it does not work, or data is in danger


@dataclass(frozen=True)
class Finding:
    """What a check has found; `todo` is what to do about it, where something is to be done."""

    level: Level
    about: str
    text: str
    todo: str = ""

    @property
    def line(self) -> str:
        return f"{self.level:<4}  {self.about:<11}  {self.text}" + (f": {self.todo}" if self.todo else "")


@dataclass(frozen=True)
class Patient:
    """What is looked at, and how many processes there are to be."""

    settings: Settings
    database: Database
    redis: Redis
    apis: int = 1
    schedulers: int = 1
    workers: int | None = None  # None: as many as live now
