"""What batches in OpenAI's form have written, as files: read from their results when they are asked for.

Nothing is stored twice, and the files live as long as their batch.
"""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from api import presenter
from api.batches.results import Result, results
from api.openai.answers import File
from api.openai.batch_lines import COMPLETIONS
from api.openai.completing import Writing
from api.openai.responding import response
from api.presenter import Facts
from quire import batches, ids
from quire.batches import Cursor
from quire.crypto import DataKey, KeyRing
from quire.database import Database
from quire.errors import NotFound
from quire.spec import Spec
from quire.standing import Standing
from quire.store import Batch, Job, OpenAIBatch, Tenant
from quire.store.batch import BatchState
from quire.store.job import State

PAGE = 200
KINDS = (ids.OUTPUT_FILE, ids.ERROR_FILE)
KNOWN = 1_000  # sizes remembered
NEVER = {
    BatchState.EXPIRED: ("batch_expired", "The batch's window was over before this line was done."),
    BatchState.CANCELLED: ("batch_cancelled", "The batch was cancelled before this line was done."),
    BatchState.EXHAUSTED: ("budget_exhausted", "The batch's budget was used up before this line was done."),
}
ALONE = ("cancelled", "The job of this line was cancelled by another request.")


class BatchFiles:
    """NotFound: the tenant has no such file."""

    def __init__(self, database: Database, ring: KeyRing) -> None:
        self._database = database
        self._ring = ring
        self._lock = threading.Lock()
        self._sizes: dict[str, int] = {}

    @staticmethod
    def has(file_id: str) -> bool:
        """Whether an id is that of such a file."""
        return any(ids.parse(kind, file_id) for kind in KINDS)

    def one(self, tenant_id: UUID, file_id: str) -> File:
        batch, _ = self._find(tenant_id, file_id)
        is_output = ids.parse(ids.OUTPUT_FILE, file_id) is not None
        return File(
            id=file_id,
            bytes=self._size(tenant_id, file_id),
            created_at=int((batch.finished_at or batch.created_at).timestamp()),
            expires_at=None,
            filename=f"{ids.show(ids.BATCH, batch.id)}_{'output' if is_output else 'error'}.jsonl",
            purpose="batch_output",
        )

    def content(self, tenant_id: UUID, file_id: str) -> Iterator[bytes]:
        """Yield the lines; each page is read when it is asked for."""
        batch, note = self._find(tenant_id, file_id)
        wanted = ids.OUTPUT_FILE if ids.parse(ids.OUTPUT_FILE, file_id) else ids.ERROR_FILE
        after = Cursor()
        while True:
            with self._database.tenant(tenant_id) as session:
                key = self._ring.unwrap(session.get_one(Tenant, tenant_id).wrapped_key, tenant_id)
                found = results(session, batch, key, after, PAGE)
            for each in found:
                kind, line = _line(batch, note, each, key)
                if kind == wanted:
                    yield json.dumps(line, ensure_ascii=False).encode() + b"\n"
            if not found:
                return
            after = found[-1].place.after

    def _size(self, tenant_id: UUID, file_id: str) -> int:
        """Return the bytes of a file, which is what it is from the end of its batch on."""
        with self._lock:
            known = self._sizes.get(file_id)
        if known is None:
            known = sum(map(len, self.content(tenant_id, file_id)))
            with self._lock:
                while len(self._sizes) >= KNOWN:
                    del self._sizes[next(iter(self._sizes))]
                self._sizes[file_id] = known
        return known

    def _find(self, tenant_id: UUID, file_id: str) -> tuple[Batch, OpenAIBatch]:
        batch_id = next(filter(None, (ids.parse(kind, file_id) for kind in KINDS)), None)
        if batch_id is None:
            raise NotFound
        with self._database.tenant(tenant_id) as session:
            batch = batches.find(session, tenant_id, batch_id)
            note = session.get(OpenAIBatch, batch_id)
        if note is None or not batch.state.is_over:
            raise NotFound
        return batch, note


def _line(batch: Batch, note: OpenAIBatch, result: Result, key: DataKey) -> tuple[str, dict[str, Any]]:
    """Return one line, and which file it is of."""
    item, job = result.place.item, result.job
    request = ids.show("batch_req", batch.job(item.number))
    line: dict[str, Any] = {"id": request, "custom_id": item.custom_id, "response": None, "error": None}

    def answered(status: int, body: dict[str, Any]) -> dict[str, Any]:
        return line | {"response": {"status_code": status, "request_id": request, "body": body}}

    if job is not None and job.state is State.SUCCEEDED:
        return ids.OUTPUT_FILE, answered(200, _body(note.endpoint, result, key))
    if job is not None and job.state is State.FAILED:
        error = {**(job.error or {}), "type": "server_error", "param": None}
        return ids.ERROR_FILE, answered(500, {"error": error})
    if item.error is not None:
        told = {"code": item.error["code"], "message": item.error["message"]}
        error = {**told, "type": "invalid_request_error", "param": item.error.get("param") or None}
        return ids.ERROR_FILE, answered(int(item.error.get("status", 400)), {"error": error})
    code, message = _undone(batch, job)
    return ids.ERROR_FILE, line | {"error": {"code": code, "message": message}}


def _undone(batch: Batch, job: Job | None) -> tuple[str, str]:
    """Say why a line was not done: by what became of its batch, unless its job had ended otherwise before."""
    if job is None:
        return NEVER[batch.state]
    if job.state is State.EXPIRED:
        return NEVER[BatchState.EXPIRED]
    return NEVER[batch.state] if batch.state is BatchState.CANCELLED else ALONE


def _body(endpoint: str, result: Result, key: DataKey) -> dict[str, Any]:
    job = result.job
    if job is None:
        raise LookupError("an item without a job has no body")
    spec = Spec.decode(key.open(job.body, f"job:{job.id}"))
    facts = Facts(spec=spec, tokens=job.completion_tokens, now=datetime.now(UTC), standing=Standing())
    shown = presenter.job(job, facts, result.pieces, [])
    if endpoint == COMPLETIONS:
        writing = Writing(
            job.id, shown.model, n=spec.parameters.n, echo=False, created=int(job.created_at.timestamp())
        )
        return writing.whole([shown]).model_dump(mode="json")
    return response(shown, background=True).model_dump(mode="json")
