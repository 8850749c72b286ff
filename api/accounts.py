"""What a tenant has used, by day and model."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from api import responses
from api.schemas import UsageQuery
from quire.database import Database
from quire.errors import InvalidField, NotFound
from quire.store import Tenant, usage

LAST_DAYS = 30
MOST_DAYS = 366


class Accounts:
    def __init__(self, database: Database) -> None:
        self._database = database

    def of_tenant(self, tenant_id: UUID, query: UsageQuery) -> responses.UsageReport:
        """Report some days, the newest first, and what is left of today.

        Raises:
            InvalidField: the days are in the wrong order or too many.
            NotFound: there is no such tenant.

        """
        today = datetime.now(UTC).date()
        last = query.last_day or max(today, query.first_day or today)
        first = query.first_day or last - timedelta(days=LAST_DAYS - 1)
        if last < first:
            raise InvalidField.one("last_day", "Should not be before first_day")
        if last - first >= timedelta(days=MOST_DAYS):
            raise InvalidField.one("first_day", f"At most {MOST_DAYS} days are reported at once")
        with self._database.tenant(tenant_id) as session:
            tenant = session.get(Tenant, tenant_id)
            if tenant is None:
                raise NotFound
            rows = usage.between(session, tenant_id, first, last)
            used_today = sum(_used(row) for row in usage.between(session, tenant_id, today, today))
        limit = tenant.max_tokens_per_day
        return responses.UsageReport(
            first_day=first,
            last_day=last,
            data=[_line(row) for row in rows],
            today=responses.Today(
                day=today,
                used_tokens=used_today,
                max_tokens_per_day=limit,
                remaining_tokens=None if limit is None else max(0, limit - used_today),
            ),
        )


def _used(row: usage.Usage) -> int:
    return row.reserved + row.prompt_tokens + row.completion_tokens


def _line(row: usage.Usage) -> responses.UsageLine:
    return responses.UsageLine(
        day=row.day,
        model=row.model,
        jobs=row.jobs,
        prompt_tokens=row.prompt_tokens,
        completion_tokens=row.completion_tokens,
        total_tokens=row.prompt_tokens + row.completion_tokens,
        reserved_tokens=row.reserved,
    )
