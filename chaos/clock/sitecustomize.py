"""Sets the wall clock of a Python process apart by CHAOS_CLOCK_SECONDS, before anything else is imported.

The interpreter imports a module of this name by itself when the folder is on PYTHONPATH. What counts the time
between two moments (`time.monotonic`) is left alone: no machine's clock is wrong about that.
"""

import datetime as dt
import os
import time
from typing import Any

AHEAD = float(os.environ.get("CHAOS_CLOCK_SECONDS", "0"))

if AHEAD:
    real_time, real_time_ns, real_datetime = time.time, time.time_ns, dt.datetime

    class Kind(type):
        """Any datetime counts as one of the class that stands in its place."""

        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, real_datetime)

        def __subclasscheck__(cls, subclass: type) -> bool:
            return issubclass(subclass, real_datetime)

    class Ahead(real_datetime, metaclass=Kind):  # type: ignore[valid-type,misc]
        __slots__ = ()

        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> Any:
            return real_datetime.fromtimestamp(time.time(), tz)

        @classmethod
        def utcnow(cls) -> Any:
            return real_datetime.fromtimestamp(time.time(), dt.UTC).replace(tzinfo=None)

    Ahead.__name__ = Ahead.__qualname__ = "datetime"
    Ahead.__module__ = "datetime"
    time.time = lambda: real_time() + AHEAD
    time.time_ns = lambda: real_time_ns() + int(AHEAD * 1e9)
    dt.datetime = Ahead  # type: ignore[misc]
