"""Whether a tenant may submit: jobs that wait, and tokens of the day."""

from collections.abc import Mapping
from datetime import date
from uuid import UUID

from sqlalchemy.orm import Session

from quire import errors
from quire.jobs.backlogs import Backlogs
from quire.quotas import DAY, Allowance, Quotas
from quire.store import job_counts
from quire.store import usage as accounts

# What one tenant may submit, through all API processes together, while a count is believed.
MARGIN = 5_000
LOOK_AGAIN = 30  # seconds, in which some of a full queue will have run


def admit(session: Session, tenant_id: UUID, count: int, *, max_queued: int, backlogs: Backlogs) -> None:
    """Let a tenant queue so many more jobs; near its limit its submissions count exactly, one after the other.

    Raises:
        QuotaExceeded: they would be too many.

    """
    room = max_queued - count
    if room >= MARGIN and backlogs.of(session, tenant_id, max_queued) < room - MARGIN:
        backlogs.add(tenant_id, count)
        return
    job_counts.serialise_submissions(session, tenant_id)
    queued = job_counts.queued_of(session, tenant_id, max_queued)
    if queued > room:
        left = Allowance("queued", max_queued, max(0, max_queued - queued), LOOK_AGAIN)
        raise errors.QuotaExceeded(f"The tenant has {queued} jobs waiting; its limit is {max_queued}.", left)
    backlogs.add(tenant_id, count)


def reserve(session: Session, tenant_id: UUID, tokens: Mapping[str, int], quotas: Quotas) -> date:
    """Reserve tokens by model; returns the day they count for. Last, because the account stays locked.

    Raises:
        DailyTokensExceeded: they are more than the day has left.

    """
    day = accounts.reserve(session, tenant_id, tokens)
    limit = quotas.max_tokens_per_day
    if limit is not None and (used := accounts.used(session, tenant_id, day)) > limit:
        wanted = sum(tokens.values())
        left = max(0, limit - used + wanted)
        raise errors.DailyTokensExceeded(
            f"Up to {wanted} tokens are needed, and of the {limit} a day {left} are left.",
            Allowance("tokens", limit, left, accounts.seconds_to_midnight(session), window=DAY),
        )
    return day
