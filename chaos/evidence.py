"""What the database says of a run: its rows, its text logs opened, and what the audit wrote down."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from psycopg import Cursor
from psycopg.rows import namedtuple_row

from quire.crypto import KeyRing, WrappedKey
from quire.ids import JOB, show
from quire.pieces import Piece, fold
from quire.store.chunk import Chunk
from quire.textlog import read as open_log


@dataclass(frozen=True)
class JobRow:
    id: str  # as the API shows it
    tenant: str
    state: str
    attempts: int
    prompt_tokens: int
    completion_tokens: int
    started: bool
    error: str
    key: str  # the Idempotency-Key it was sent with, and what was meant by it
    work: int
    intent: str


@dataclass(frozen=True)
class Bill:
    """A ledger entry."""

    job: str
    prompt_tokens: int | None
    completion_tokens: int | None
    settled: bool


@dataclass(frozen=True)
class LogRow:
    """One row of a job's text log."""

    offset: int
    tokens: int


@dataclass(frozen=True)
class Step:
    """A change of a job's state or fence, in the order in which they happened."""

    job: str
    at: float  # seconds since 1970
    login: str
    old_state: str | None
    new_state: str
    old_fence: int | None
    new_fence: int
    logged: int


@dataclass(frozen=True)
class Write:
    """A row added to a job's text log, and the job's state and fence at that moment."""

    job: str
    at: float
    login: str
    offset: int
    tokens: int
    state: str
    fence: int


@dataclass(frozen=True)
class Evidence:
    jobs: Sequence[JobRow]
    bills: Sequence[Bill]
    steps: Sequence[Step]
    writes: Sequence[Write]
    logs: dict[str, list[LogRow]]
    pieces: dict[str, list[Piece]]


JOBS = """
SELECT jobs.id, tenants.name AS tenant, jobs.state, jobs.attempts, jobs.prompt_tokens, jobs.completion_tokens,
    jobs.started_at IS NOT NULL AS started, coalesce(jobs.error->>'code', '') AS error,
    coalesce(jobs.metadata->>'key', '') AS key, coalesce(jobs.metadata->>'work', '-1')::int AS work,
    coalesce(jobs.metadata->>'intent', '') AS intent
FROM jobs JOIN tenants ON tenants.id = jobs.tenant_id ORDER BY jobs.seq
"""
BILLS = "SELECT job_id, prompt_tokens, completion_tokens, settled_at IS NOT NULL AS settled FROM ledger"
STEPS = """
SELECT job_id, extract(epoch FROM at)::float8 AS at, login, old_state, new_state, old_fence, new_fence, logged
FROM chaos.steps ORDER BY seq
"""
WRITES = """
SELECT job_id, extract(epoch FROM at)::float8 AS at, login, "offset", tokens, state, fence
FROM chaos.writes ORDER BY seq
"""
LOGS = """
SELECT job_id, revision, "offset", chunks.tenant_id, tokens, body, master_key, data_key
FROM chunks JOIN tenants ON tenants.id = chunks.tenant_id ORDER BY job_id, revision, "offset"
"""


def gather(url: str, master_keys: str) -> Evidence:
    """Read everything. No fault must be under way."""
    with psycopg.connect(url) as connection, connection.cursor(row_factory=namedtuple_row) as cursor:
        logs, pieces = _logs(_rows(cursor, LOGS), KeyRing.parse(master_keys))
        return Evidence(
            jobs=[JobRow(show(JOB, row.id), *row[1:]) for row in _rows(cursor, JOBS)],
            bills=[Bill(show(JOB, row.job_id), *row[1:]) for row in _rows(cursor, BILLS)],
            steps=[Step(show(JOB, row.job_id), *row[1:]) for row in _rows(cursor, STEPS)],
            writes=[Write(show(JOB, row.job_id), *row[1:]) for row in _rows(cursor, WRITES)],
            logs=logs,
            pieces=pieces,
        )


def _rows(cursor: Cursor[Any], statement: str) -> list[Any]:
    return cursor.execute(statement.encode()).fetchall()


def _logs(rows: Iterable[Any], ring: KeyRing) -> tuple[dict[str, list[LogRow]], dict[str, list[Piece]]]:
    chunks: dict[UUID, list[Chunk]] = {}
    wrapped: dict[UUID, tuple[UUID, WrappedKey]] = {}
    for row in rows:
        position = {"job_id": row.job_id, "revision": row.revision, "offset": row.offset}
        chunk = Chunk(**position, tokens=row.tokens, body=row.body)
        chunks.setdefault(row.job_id, []).append(chunk)
        wrapped[row.job_id] = (row.tenant_id, WrappedKey(row.master_key, bytes(row.data_key)))
    keys = {tenant: ring.unwrap(key, tenant) for tenant, key in set(wrapped.values())}
    logs, pieces = {}, {}
    for job, of_job in chunks.items():
        name = show(JOB, job)
        logs[name] = [LogRow(chunk.offset, chunk.tokens) for chunk in of_job]
        pieces[name] = fold(open_log(of_job, keys[wrapped[job][0]]))
    return logs, pieces
