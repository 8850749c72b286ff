import json
import logging
import sys
from uuid import UUID

import pytest

from quire.telemetry import JsonFormatter, log_context


def line(message: str = "hello", *arguments: object, **extra: object) -> dict[str, object]:
    """What one call of the logger writes."""
    record = logging.getLogger("test").makeRecord(
        "test", logging.INFO, "file.py", 1, message, arguments, None, extra=extra
    )
    return json.loads(JsonFormatter("worker").format(record))


def test_a_line_says_what_happened_where_and_when(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time_ns", lambda: 1_700_000_000_125_000_000)
    monkeypatch.setattr("time.time", lambda: 1_700_000_000.125)

    assert line("%s done", "half") == {
        "time": "2023-11-14T22:13:20.125Z",
        "level": "info",
        "service": "worker",
        "logger": "test",
        "message": "half done",
    }


def test_a_line_carries_what_the_call_adds() -> None:
    assert line(action="job_started", job=UUID(int=7))["job"] == str(UUID(int=7))


def test_a_line_carries_the_context_it_was_written_in() -> None:
    with log_context(job="one", tenant="two"), log_context(attempt=3):
        inside = line()

    assert (inside["job"], inside["tenant"], inside["attempt"]) == ("one", "two", 3)
    assert "job" not in line()


def test_an_exception_is_written_on_the_same_line() -> None:
    try:
        int("the reason")
    except ValueError:
        record = logging.LogRecord("test", logging.ERROR, "file.py", 1, "failed", (), sys.exc_info())
    text = JsonFormatter("worker").format(record)

    assert "\n" not in text
    assert "the reason" in json.loads(text)["exception"]
