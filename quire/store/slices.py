"""What the ledger knows of books that run: what each has reserved, and what its tenant's day has left."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

OPEN = text("""
    SELECT jobs.id, jobs.tenant_id, jobs.model, jobs.prompt_tokens, jobs.max_tokens, estimate AS slice, entry.day,
        entry.reserved, moment.day AS today, billed.tokens AS billed, max_tokens_per_day AS most,
        account.tokens AS used
    FROM jobs
    CROSS JOIN (SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date AS day) AS moment
    JOIN tenants ON tenants.id = jobs.tenant_id
    JOIN ledger AS entry ON entry.job_id = jobs.id AND entry.settled_at IS NULL
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(prompt_tokens + completion_tokens), 0) AS tokens FROM ledger
        WHERE ledger.job_id = jobs.id AND settled_at IS NOT NULL) AS billed
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(usage.reserved + usage.prompt_tokens + usage.completion_tokens), 0) AS tokens
        FROM usage WHERE usage.tenant_id = jobs.tenant_id AND usage.day = moment.day) AS account
    WHERE jobs.id = ANY (CAST(:jobs AS uuid[])) AND jobs.kind = 'longform'
    ORDER BY jobs.tenant_id, entry.day, jobs.model, jobs.id
""")
# The latest entry: the one that is open, or was settled a moment ago by this transaction.
RESERVE = text("UPDATE ledger SET reserved = reserved + :tokens WHERE job_id = :job AND day = :day")
ADD_ENTRY = text("""
    INSERT INTO ledger (job_id, tenant_id, model, day, reserved) VALUES (:job, :tenant, :model, :day, :tokens)
""")
ADD_TO_ACCOUNT = text("""
    INSERT INTO usage (tenant_id, day, model, reserved) VALUES (:tenant, :day, :model, :tokens)
    ON CONFLICT (tenant_id, day, model) DO UPDATE SET reserved = usage.reserved + excluded.reserved
""")


@dataclass(frozen=True)
class Book:
    """A book whose entry is open. All but the days in tokens."""

    id: UUID
    tenant_id: UUID
    model: str
    prompt_tokens: int
    max_tokens: int
    slice: int  # reserved ahead of what is written
    day: date  # of its open entry
    reserved: int  # by that entry
    today: date
    billed: int  # by its entries of earlier days, prompt and text together
    most: int | None  # that its tenant may use in a day
    used: int  # by its tenant, today


def open_entries(session: Session, jobs: Collection[UUID]) -> list[Book]:
    """Return those of some jobs that are books and live, in the order in which accounts are locked."""
    return [Book(**row) for row in session.execute(OPEN, {"jobs": list(jobs)}).mappings()]


def reserve(session: Session, book: Book, tokens: int) -> None:
    """Add to a book's latest entry, and to the account of its day."""
    if tokens:
        session.execute(RESERVE, {"job": book.id, "day": book.day, "tokens": tokens})
        _add_to_account(session, book, book.day, tokens)


def add_entry(session: Session, book: Book, tokens: int) -> None:
    """Begin today's entry; the one before must be settled."""
    entry = {"job": book.id, "tenant": book.tenant_id, "model": book.model, "day": book.today, "tokens": tokens}
    session.execute(ADD_ENTRY, entry)
    _add_to_account(session, book, book.today, tokens)


def _add_to_account(session: Session, book: Book, day: date, tokens: int) -> None:
    account = {"tenant": book.tenant_id, "day": day, "model": book.model, "tokens": tokens}
    session.execute(ADD_TO_ACCOUNT, account)
