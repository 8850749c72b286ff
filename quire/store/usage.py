"""Accounts: what each tenant has reserved and was billed, by day and model.

A submission adds its reservation here and is checked against the day's sum. A settlement writes the ledger only,
so that a worker's commit never waits for the tenants who submit; a scheduler takes settled entries over, within
a second, back to the day on which they were reserved.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Date, select, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from quire.store.base import Base, Big


class Usage(Base):
    __tablename__ = "usage"
    __table_args__ = ({"postgresql_with": {"fillfactor": "50"}},)

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(Date, primary_key=True)  # in UTC
    model: Mapped[str] = mapped_column(primary_key=True)
    reserved: Mapped[Big] = mapped_column(BigInteger, server_default="0")  # tokens of jobs not yet taken over
    jobs: Mapped[int] = mapped_column(server_default="0")  # settled; a book of several days in each
    prompt_tokens: Mapped[Big] = mapped_column(BigInteger, server_default="0")  # billed
    completion_tokens: Mapped[Big] = mapped_column(BigInteger, server_default="0")


RESERVE = text("""
    INSERT INTO usage (tenant_id, day, model, reserved)
    VALUES (:tenant, (clock_timestamp() AT TIME ZONE 'UTC')::date, :model, :tokens)
    ON CONFLICT (tenant_id, day, model) DO UPDATE SET reserved = usage.reserved + excluded.reserved
    RETURNING day
""")
# The rows are locked, so that two submissions at once do not pass the limit together.
USED = text("""
    SELECT coalesce(sum(reserved + prompt_tokens + completion_tokens), 0) FROM (
        SELECT * FROM usage WHERE tenant_id = :tenant AND day = :day ORDER BY model FOR NO KEY UPDATE) AS accounts
""")
TO_MIDNIGHT = text("""
    SELECT ceil(extract(epoch FROM date_trunc('day', utc) + interval '1 day' - utc))
    FROM (SELECT clock_timestamp() AT TIME ZONE 'UTC' AS utc) AS moment
""")
TAKE_OVER = text("""
    WITH settled AS MATERIALIZED (
        SELECT job_id, day FROM ledger WHERE settled_at IS NOT NULL AND NOT folded
        ORDER BY job_id LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED),
    folded AS (
        UPDATE ledger SET folded = true FROM settled
        WHERE ledger.job_id = settled.job_id AND ledger.day = settled.day
        RETURNING ledger.tenant_id, ledger.day, ledger.model, reserved, prompt_tokens, completion_tokens)
    SELECT tenant_id, day, model, sum(reserved) AS reserved, count(*) AS jobs,
        sum(prompt_tokens) AS prompt_tokens, sum(completion_tokens) AS completion_tokens
    FROM folded GROUP BY tenant_id, day, model ORDER BY tenant_id, day, model
""")
BOOK = text("""
    INSERT INTO usage (tenant_id, day, model, reserved, jobs, prompt_tokens, completion_tokens)
    VALUES (:tenant_id, :day, :model, -:reserved, :jobs, :prompt_tokens, :completion_tokens)
    ON CONFLICT (tenant_id, day, model) DO UPDATE SET reserved = usage.reserved + excluded.reserved,
        jobs = usage.jobs + excluded.jobs, prompt_tokens = usage.prompt_tokens + excluded.prompt_tokens,
        completion_tokens = usage.completion_tokens + excluded.completion_tokens
""")


@dataclass(frozen=True)
class Today:
    """A tenant's day so far."""

    day: date
    used: int  # tokens billed and reserved


def reserve(session: Session, tenant_id: UUID, tokens_by_model: Mapping[str, int]) -> date:
    """Add reservations to today's accounts; returns the day. They stay locked until the transaction ends."""
    days = {
        session.scalar(RESERVE, {"tenant": tenant_id, "model": model, "tokens": tokens})
        for model, tokens in sorted(tokens_by_model.items())
    }
    day: date = max(days)  # midnight may pass between two models
    return day


def used(session: Session, tenant_id: UUID, day: date) -> int:
    """Tokens billed and reserved on a day."""
    return int(session.scalar(USED, {"tenant": tenant_id, "day": day}) or 0)


def seconds_to_midnight(session: Session) -> int:
    """Until the next day begins, in UTC and by Postgres's clock."""
    return int(session.scalar(TO_MIDNIGHT) or 0)


def take_over(session: Session, limit: int) -> int:
    """Move settled entries of the ledger from reserved to billed; returns how many."""
    sums = [dict(row) for row in session.execute(TAKE_OVER, {"limit": limit}).mappings()]
    if sums:
        session.execute(BOOK, sums)  # in key order, as everybody who locks several accounts
    return sum(row["jobs"] for row in sums)


def between(session: Session, tenant_id: UUID, first: date, last: date) -> Sequence[Any]:
    """Return the accounts of some days, the newest first."""
    days = select(Usage).where(Usage.tenant_id == tenant_id, Usage.day.between(first, last))
    return session.scalars(days.order_by(Usage.day.desc(), Usage.model)).all()
