"""Identifiers: UUIDv7 (RFC 9562), so that ids sort by time, shown with a prefix that says what they name."""

import secrets
import time
import uuid
from datetime import UTC, datetime, timedelta

JOB, TENANT, KEY, WORKER, BATCH = "job", "ten", "key", "wrk", "batch"
ENDPOINT, EVENT, DELIVERY = "whk", "evt", "dlv"
SCHEDULE = "sch"
RESPONSE = "resp"  # a job that is one of OpenAI's responses
FILE = "file"
OUTPUT_FILE, ERROR_FILE = "file_output", "file_error"  # of a batch, whose id theirs is
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def new_id() -> uuid.UUID:
    """Return a UUIDv7: 48 bits of milliseconds since 1970, the rest random."""
    return _uuid7(time.time_ns() // 1_000_000, secrets.randbits(74))


def new_run(count: int) -> list[uuid.UUID]:
    """Return so many ids that follow one another, fewer than 2^61: the first tells all of them."""
    return run(_uuid7(time.time_ns() // 1_000_000, secrets.randbits(74) & ~(1 << 61)), count)


def run(first: uuid.UUID, count: int) -> list[uuid.UUID]:
    """Return the run of ids that begins with `first`."""
    return [uuid.UUID(int=first.int + index) for index in range(count)]


def first_id_at(moment: datetime) -> uuid.UUID:
    """Return the least UUIDv7 of a moment, which is a bound between ids made before and after it."""
    return _uuid7((moment - EPOCH) // timedelta(milliseconds=1), 0)


def show(prefix: str, value: uuid.UUID) -> str:
    return f"{prefix}_{value.hex}"


def parse(prefix: str, text: str) -> uuid.UUID | None:
    """Read what `show` wrote; None if it is anything else."""
    try:
        value = uuid.UUID(hex=text.removeprefix(f"{prefix}_"))
    except ValueError:
        return None
    # UUID reads dashes, capitals and more: one thing has one name here.
    return value if show(prefix, value) == text else None


def _uuid7(milliseconds: int, random: int) -> uuid.UUID:
    high, low = random >> 62, random & ((1 << 62) - 1)
    return uuid.UUID(int=milliseconds << 80 | 0x7 << 76 | high << 64 | 0b10 << 62 | low)
