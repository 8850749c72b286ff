"""The ledger: what each job reserved, and what was billed. Entries outlive the jobs they account for.

A job has one entry; a book has one for each day on which it was written, of which one is open.

An entry is settled when its job ends, and folded when a scheduler has taken it into the accounts (usage.py).
"""

from collections.abc import Sequence
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import Date, Index, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from quire.store.base import Base, Created, Identifier


class LedgerEntry(Base):
    __tablename__ = "ledger"
    __table_args__ = (
        Index("ledger_of_tenant", "tenant_id", "created_at"),
        Index("ledger_unfolded", "job_id", postgresql_where=text("settled_at IS NOT NULL AND NOT folded")),
    )

    job_id: Mapped[Identifier]  # no foreign key: accounts are kept when a job is deleted
    tenant_id: Mapped[UUID]
    model: Mapped[str]
    day: Mapped[date] = mapped_column(
        Date, primary_key=True, server_default=text("(clock_timestamp() AT TIME ZONE 'UTC')::date")
    )  # of the reservation, to which its refund goes
    reserved: Mapped[int]  # tokens that may be billed at most
    prompt_tokens: Mapped[int | None]  # billed, once settled
    completion_tokens: Mapped[int | None]
    created_at: Mapped[Created]
    settled_at: Mapped[datetime | None]
    folded: Mapped[bool] = mapped_column(server_default="false")


# What entries of earlier days have billed is not billed again.
SETTLE = text("""
    UPDATE ledger SET prompt_tokens = final.prompt - coalesce(earlier.prompts, 0),
        completion_tokens = final.completion - coalesce(earlier.completions, 0), settled_at = clock_timestamp()
    FROM unnest(CAST(:jobs AS uuid[]), CAST(:prompts AS int[]), CAST(:completions AS int[]))
        AS final (job, prompt, completion)
    LEFT JOIN LATERAL (
        SELECT sum(prompt_tokens) AS prompts, sum(completion_tokens) AS completions FROM ledger AS before
        WHERE before.job_id = final.job AND before.settled_at IS NOT NULL) AS earlier ON true
    WHERE ledger.job_id = final.job AND settled_at IS NULL
""")


def settle(session: Session, bills: Sequence[tuple[UUID, int, int]]) -> None:
    """Close the open entries of jobs: (job, prompt tokens, completion tokens), both since its beginning."""
    if bills:
        jobs, prompts, completions = zip(*bills, strict=True)
        session.execute(SETTLE, {"jobs": list(jobs), "prompts": list(prompts), "completions": list(completions)})
