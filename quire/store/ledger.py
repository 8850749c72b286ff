"""The ledger: what each job reserved, and what was billed. Entries outlive the jobs they account for."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, text
from sqlalchemy.orm import Mapped, Session

from quire.store.base import Base, Created, Identifier


class Entry(Base):
    __tablename__ = "ledger"
    __table_args__ = (Index("ledger_of_tenant", "tenant_id", "created_at"),)

    job_id: Mapped[Identifier]  # no foreign key: accounts are kept when a job is deleted
    tenant_id: Mapped[UUID]
    model: Mapped[str]
    reserved: Mapped[int]  # tokens the job may cost at most
    prompt_tokens: Mapped[int | None]  # billed, once settled
    completion_tokens: Mapped[int | None]
    created_at: Mapped[Created]
    settled_at: Mapped[datetime | None]


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
