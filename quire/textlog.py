"""How a text log is kept: entries sealed into a chunk, and read back."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any
from uuid import UUID

from quire.crypto import DataKey
from quire.pieces import Entry, Logprobs
from quire.store.chunk import Chunk, Position


def place(job_id: UUID, position: Position) -> str:
    """Where a chunk stands, which its seal is bound to."""
    return f"log:{job_id}:{position.revision}:{position.offset}"


def chunk_row(
    job_id: UUID, tenant_id: UUID, key: DataKey, position: Position, entries: Sequence[Entry]
) -> dict[str, object]:
    """Seal entries into one row of the log."""
    body = json.dumps([_dump(entry) for entry in entries], ensure_ascii=False, separators=(",", ":"))
    return {
        "job_id": job_id,
        "revision": position.revision,
        "offset": position.offset,
        "tenant_id": tenant_id,
        "tokens": sum(len(entry.ids) for entry in entries),
        "body": key.seal(body.encode(), place(job_id, position)),
    }


def read(chunks: Iterable[Chunk], key: DataKey) -> list[Entry]:
    """Open the rows of one job's log."""
    entries: list[Entry] = []
    for chunk in chunks:
        body = key.open(chunk.body, place(chunk.job_id, Position(chunk.revision, chunk.offset)))
        entries += [_load(item) for item in json.loads(body)]
    return entries


def _dump(entry: Entry) -> dict[str, Any]:
    return {name: value for name, value in asdict(entry).items() if value is not None}


def _load(item: dict[str, Any]) -> Entry:
    logprobs = item.get("logprobs")
    return Entry(
        item["piece"],
        tuple(item["ids"]),
        item["text"],
        item.get("finish"),
        Logprobs(**logprobs) if logprobs else None,
    )
