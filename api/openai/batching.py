"""Batches in OpenAI's form: made from a file that was uploaded, on the same batches as all others."""

import io
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select

from api.batches import answers as native
from api.batches.lines import json_lines
from api.batches.opening import Opening
from api.batches.requests import PRIORITY
from api.intake import keys_in_use_are_told
from api.openai.answers import BatchErrors, FileBatch, LineError, RequestCounts, ResponseUsage
from api.openai.batch_lines import BrokenLines, Lines
from api.openai.orders import Orders
from api.openai.schemas import FileBatchRequest
from api.openai.storing import Files
from quire import batches, ids, store
from quire.batches import Draft, Item
from quire.database import Database
from quire.errors import InvalidField, NotFound
from quire.jobs import Once
from quire.store import OpenAIBatch, idempotency
from quire.store.base import now
from quire.store.batch import BatchState
from quire.webhooks.events import News, tell

WINDOW = timedelta(hours=24)
MANY = 1_000_000  # a batch that was refused does not count among those that are open
ENDS = ("completed", "failed", "expired", "cancelled")
STATUS = {
    BatchState.RECEIVING: "validating",
    BatchState.RUNNING: "in_progress",
    BatchState.COMPLETED: "completed",
    BatchState.CANCELLED: "cancelled",
    BatchState.EXPIRED: "expired",
    BatchState.EXHAUSTED: "failed",
}


class OpenAIBatches:
    def __init__(
        self, *, database: Database, files: Files, opening: Opening, orders: Orders, most_items: int
    ) -> None:
        self._database = database
        self._files = files
        self._opening = opening
        self._orders = orders
        self._most_items = most_items

    def create(self, tenant_id: UUID, wanted: FileBatchRequest, once: Once | None) -> UUID:
        """Make a batch of a file; one whose lines cannot be read is made as well, and has failed.

        Raises:
            InvalidField: there is no such file.
            QuotaExceeded: the tenant has too many batches that are not over.
            ModelNotReady: no worker has ever loaded a model that a line needs.

        """
        owner = self._opening.owner(tenant_id)
        if once and (earlier := self._opening.made_before(owner, once)):
            return earlier
        try:
            row, _ = self._files.find(tenant_id, wanted.input_file_id)
        except NotFound:
            raise InvalidField.one("input_file_id", "There is no such file") from None
        draft = Draft(
            tenant_id=tenant_id,
            priority=PRIORITY,
            deadline=datetime.now(UTC) + WINDOW,
            retention_hours=wanted.retention_hours,
            metadata=wanted.metadata,
        )
        lines = Lines(owner, wanted.endpoint, self._orders.model, most=self._most_items)
        _, parts = self._files.content(tenant_id, wanted.input_file_id)

        def items(batch: store.Batch) -> Iterator[Item]:
            with self._database.tenant(tenant_id) as session:
                session.add(_note(batch, wanted.endpoint, row.id))
            yield from lines.items(batch, json_lines(io.BufferedReader(_Parts(parts))))

        try:
            return self._opening.fill(owner, draft, items, once=once).batch
        except BrokenLines as broken:
            refused = self._refused(draft, wanted.endpoint, row.id, broken.problems, once)
        if refused is not None:
            return refused
        return self.create(tenant_id, wanted, once)  # another request has just made it with this key

    def forms(self, tenant_id: UUID, shown: Sequence[native.Batch]) -> list[native.Batch | FileBatch]:
        """Show batches each in the form that it was asked for in."""
        wanted = [ids.parse(ids.BATCH, each.id) for each in shown]
        with self._database.tenant(tenant_id) as session:
            found = select(OpenAIBatch).where(OpenAIBatch.batch_id.in_(wanted))
            notes = {ids.show(ids.BATCH, note.batch_id): note for note in session.scalars(found)}
        return [_form(each, notes[each.id]) if each.id in notes else each for each in shown]

    def _refused(
        self, draft: Draft, endpoint: str, file_id: UUID, problems: list[dict[str, Any]], once: Once | None
    ) -> UUID | None:
        """Make a batch that has failed; None if the key has made one by now."""
        with keys_in_use_are_told(once), self._database.tenant(draft.tenant_id) as session:
            batch = batches.open_batch(session, draft, most_open=MANY)
            if once and not idempotency.enter(session, draft.tenant_id, once.key, once.fingerprint, batch.id):
                session.delete(batch)
                return None
            batch.state = BatchState.COMPLETED  # of no items
            batch.finished_at = now(session)
            session.flush()
            session.add(_note(batch, endpoint, file_id, problems))
            tell(session, [News(draft.tenant_id, "batch.failed", ids.show(ids.BATCH, batch.id))])
            return batch.id


class _Parts(io.RawIOBase):
    """Reads a file's parts as a stream."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = parts
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._rest = next(self._parts, b"")
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size


def _note(
    batch: store.Batch, endpoint: str, file_id: UUID, errors: list[dict[str, Any]] | None = None
) -> OpenAIBatch:
    return OpenAIBatch(
        batch_id=batch.id, tenant_id=batch.tenant_id, endpoint=endpoint, input_file_id=file_id, errors=errors
    )


def _form(shown: native.Batch, note: OpenAIBatch) -> FileBatch:
    status = "failed" if note.errors else STATUS[shown.state]
    counts, ended = shown.counts, _seconds(shown.finished_at)
    unfinished = counts.total - counts.succeeded if shown.state.is_over else 0
    return FileBatch.model_validate({
        "id": shown.id,
        "endpoint": note.endpoint,
        "input_file_id": ids.show(ids.FILE, note.input_file_id),
        "status": status,
        "errors": _errors(note.errors) if note.errors else None,
        "output_file_id": _file(ids.OUTPUT_FILE, note) if shown.state.is_over and counts.succeeded else None,
        "error_file_id": _file(ids.ERROR_FILE, note) if unfinished else None,
        "request_counts": RequestCounts(total=counts.total, completed=counts.succeeded, failed=counts.failed),
        "metadata": shown.metadata,
        "created_at": _seconds(shown.created_at),
        "in_progress_at": None if note.errors else _seconds(shown.created_at),
        "expires_at": _seconds(shown.deadline),
        "usage": ResponseUsage(
            input_tokens=shown.usage.prompt_tokens,
            output_tokens=shown.usage.completion_tokens,
            total_tokens=shown.usage.total_tokens,
        ),
        **{f"{end}_at": ended if status == end else None for end in ENDS},
    })  # fmt: skip


def _errors(problems: Sequence[dict[str, Any]]) -> BatchErrors:
    return BatchErrors(data=[LineError(**problem) for problem in problems])


def _file(kind: str, note: OpenAIBatch) -> str:
    return ids.show(kind, note.batch_id)


def _seconds(moment: datetime | None) -> int | None:
    return int(moment.timestamp()) if moment else None
