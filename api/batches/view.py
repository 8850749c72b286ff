"""Looking at batches, and what is shown of them."""

from collections.abc import Sequence
from dataclasses import asdict
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.batches import answers
from api.batches.requests import BatchQuery
from api.cursors import cursor, position
from api.responses import Usage
from quire import batches, ids
from quire.database import Database
from quire.errors import Conflict
from quire.store.batch import Batch, BatchState

STEP = 500  # rows that one transaction removes


class BatchReader:
    """NotFound: it is not the tenant's."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def one(self, tenant_id: UUID, batch_id: UUID) -> answers.Batch:
        with self._database.tenant(tenant_id) as session:
            return shown(session, [batches.find(session, tenant_id, batch_id)])[0]

    def page(self, tenant_id: UUID, query: BatchQuery) -> tuple[list[answers.Batch], str | None]:
        """Return a page, and the cursor of the next if there is one."""
        before = ids.parse(ids.BATCH, query.after or "") or position(ids.BATCH, query.after)
        wanted = select(Batch).where(Batch.tenant_id == tenant_id, Batch.state != BatchState.RECEIVING)
        if query.state:
            wanted = wanted.where(Batch.state.in_(query.state))
        if before is not None:
            wanted = wanted.where(Batch.id < before)
        with self._database.tenant(tenant_id) as session:
            rows = session.scalars(wanted.order_by(Batch.id.desc()).limit(query.limit + 1)).all()
            data = shown(session, rows[: query.limit])
        more = len(rows) > query.limit
        return data, cursor(ids.BATCH, rows[query.limit - 1].id) if more else None

    def cancel(self, tenant_id: UUID, batch_id: UUID) -> answers.Batch:
        """End a batch now; one that is over is shown as it is."""
        with self._database.tenant(tenant_id) as session:
            return shown(session, [batches.cancel(session, tenant_id, batch_id)])[0]

    def delete(self, tenant_id: UUID, batch_id: UUID) -> None:
        """Delete a batch that is over, with its jobs and their texts; a bounded number in each transaction.

        Raises:
            Conflict: it is not over.

        """
        while True:
            with self._database.tenant(tenant_id) as session:
                batch = batches.find(session, tenant_id, batch_id, lock=True)
                if not batch.state.is_over:
                    raise Conflict("The batch is running: cancel it before deleting it.")
                if batches.remove_some(session, batch.id, STEP) == 1 and session.get(Batch, batch_id) is None:
                    return


def shown(session: Session, rows: Sequence[Batch]) -> list[answers.Batch]:
    """Put batches together that the caller's transaction has at hand."""
    counted = batches.counts(session, [row.id for row in rows])
    return [_batch(row, answers.BatchCounts(**asdict(counted[row.id]))) for row in rows]


def _batch(row: Batch, counts: answers.BatchCounts) -> answers.Batch:
    return answers.Batch.model_validate({
        "id": ids.show(ids.BATCH, row.id),
        "state": row.state,
        "blocked_by": row.blocked_by,
        "counts": counts,
        "usage": Usage(
            prompt_tokens=row.prompt_tokens,
            completion_tokens=row.completion_tokens,
            total_tokens=row.prompt_tokens + row.completion_tokens,
        ),
        "priority": row.priority,
        "max_running": row.max_running,
        "max_tokens": row.max_tokens,
        "deadline": row.deadline,
        "retention_hours": row.retention_hours,
        "metadata": row.user_metadata,
        "parent_id": ids.show(ids.BATCH, row.parent_id) if row.parent_id else None,
        "schedule_id": ids.show(ids.SCHEDULE, row.schedule_id) if row.schedule_id else None,
        "created_at": row.created_at,
        "finished_at": row.finished_at,
    })  # fmt: skip
