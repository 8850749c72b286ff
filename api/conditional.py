"""What lets clients poll politely: entity tags, when to come back, and keys that make a retry safe."""

import hashlib
import re
from datetime import UTC, datetime

from flask import Request

from api.responses import Job
from quire.errors import InvalidField
from quire.standing import Blocker
from quire.store.job import State

RUNNING_SECONDS, QUEUED_SECONDS, LONGEST_SECONDS = 1, 2, 60  # some clients take no longer Retry-After for serious

BARE = re.compile(r"[\x21\x23-\x7e][\x21-\x7e]{0,254}")
QUOTED = re.compile(r'"((?:[\x21\x23-\x5b\x5d-\x7e]|\\["\\]){1,255})"')


def etag(shown: Job) -> str:
    """Return the tag of a job, which changes with all but its times: those change by themselves."""
    lasting = shown.model_dump_json(exclude={"timings": True, "queue": {"eta"}})
    return hashlib.sha256(lasting.encode()).hexdigest()[:32]


def still_holds(request: Request, tag: str) -> bool:
    """Whether If-None-Match names this tag; weakly, as RFC 9110 has it for that header."""
    return request.if_none_match.contains_weak(tag)


def retry_after(shown: Job) -> int | None:
    """Return the seconds after which it is worth looking again; None if never."""
    if shown.state is State.RUNNING:
        return RUNNING_SECONDS
    if shown.state is not State.QUEUED:
        return None
    if shown.blocked_by is Blocker.NOT_BEFORE and shown.not_before:
        left = int((shown.not_before - datetime.now(UTC)).total_seconds())
        return min(max(left, QUEUED_SECONDS), LONGEST_SECONDS)
    return QUEUED_SECONDS


def idempotency_key(request: Request) -> str | None:
    """Return the Idempotency-Key, sent quoted or bare; None without one.

    Raises:
        InvalidField: it is not 1 to 255 visible ASCII characters.

    """
    header = request.headers.get("Idempotency-Key")
    if header is None:
        return None
    if quoted := QUOTED.fullmatch(header):
        return re.sub(r'\\(["\\])', r"\1", quoted[1])
    if not BARE.fullmatch(header):
        raise InvalidField.one("Idempotency-Key", "Should be 1 to 255 visible ASCII characters, quoted or bare")
    return header
