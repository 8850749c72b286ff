"""The peer's side of the talk with the driver: one JSON object a line, asked on stdin, answered on stdout."""

import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import TextIO

Answers = Mapping[str, Callable[..., object]]


def open_channel() -> TextIO:
    """Return what stdout was, and let all that libraries print go to stderr; call it before importing them."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return channel


def serve(channel: TextIO, start: Callable[[], Answers]) -> None:
    """Load by `start`, say so, and answer until stdin ends; an error is told to the driver, and is the end."""
    try:
        answers = start()
        _tell(channel, None)
        for line in sys.stdin:
            question = json.loads(line)
            _tell(channel, answers[question.pop("do")](**question))
    except Exception as error:
        channel.write(json.dumps({"error": f"{type(error).__name__}: {error}"}) + "\n")
        channel.flush()
        raise


def _tell(channel: TextIO, answer: object) -> None:
    channel.write(json.dumps({"answer": answer}) + "\n")
    channel.flush()
