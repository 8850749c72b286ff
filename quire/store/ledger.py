"""The ledger: what each job reserved, and what was billed. Entries outlive the jobs they account for.

An entry is settled when its job ends, and folded when a scheduler has taken it into the accounts (usage.py).
"""

from collections.abc import Sequence
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import Date, Index, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from quire.store.base import Base, Created, Identifier


class Entry(Base):
    __tablename__ = "ledger"
    __table_args__ = (
        Index("ledger_of_tenant", "tenant_id", "created_at"),
        Index("ledger_unfolded", "job_id", postgresql_where=text("settled_at IS NOT NULL AND NOT folded")),
    )

    job_id: Mapped[Identifier]  # no foreign key: accounts are kept when a job is deleted
    tenant_id: Mapped[UUID]
    model: Mapped[str]
    day: Mapped[date] = mapped_column(
        Date, server_default=text("(clock_timestamp() AT TIME ZONE 'UTC')::date")
    )  # of the reservation, to which its refund goes
    reserved: Mapped[int]  # tokens that may be billed at most
    prompt_tokens: Mapped[int | None]  # billed, once settled
    completion_tokens: Mapped[int | None]
    created_at: Mapped[Created]
    settled_at: Mapped[datetime | None]
    folded: Mapped[bool] = mapped_column(server_default="false")


SETTLE = text("""
    UPDATE ledger SET prompt_tokens = final.prompt, completion_tokens = final.completion,
        settled_at = clock_timestamp()
    FROM unnest(CAST(:jobs AS uuid[]), CAST(:prompts AS int[]), CAST(:completions AS int[]))
        AS final (job, prompt, completion)
    WHERE ledger.job_id = final.job AND settled_at IS NULL
""")


def settle(session: Session, bills: Sequence[tuple[UUID, int, int]]) -> None:
    """Close the reservations of terminal jobs: (job, prompt tokens, completion tokens)."""
    if bills:
        jobs, prompts, completions = zip(*bills, strict=True)
        session.execute(SETTLE, {"jobs": list(jobs), "prompts": list(prompts), "completions": list(completions)})
