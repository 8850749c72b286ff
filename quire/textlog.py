"""How a text log is kept: entries sealed into a chunk, and read back.

A log is a sequence of passages, each what one flush wrote. At the end of a job they are joined into one row, which
still tells them apart: so the position behind each stays one that a reader can go on from.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from quire.crypto import DataKey
from quire.pieces import Entry, Logprobs
from quire.store.chunk import Chunk, Position

BEGINS = "begins"  # of the first entry of each passage in a joined row: the offset that the passage had


@dataclass(frozen=True)
class Passage:
    """What one flush wrote, and where it begins."""

    start: Position
    entries: tuple[Entry, ...]

    @property
    def tokens(self) -> int:
        return sum(len(entry.ids) for entry in self.entries)

    @property
    def end(self) -> Position:
        """The position behind it, which no other has: one without tokens, which only ends a job, takes one."""
        return Position(self.start.revision, self.start.offset + max(1, self.tokens))


def place(job_id: UUID, position: Position) -> str:
    """Where a chunk stands, which its seal is bound to."""
    return f"log:{job_id}:{position.revision}:{position.offset}"


def chunk_row(
    job_id: UUID, tenant_id: UUID, key: DataKey, position: Position, entries: Sequence[Entry]
) -> dict[str, object]:
    """Seal entries into one row of the log."""
    tokens = sum(len(entry.ids) for entry in entries)
    return _row(job_id, tenant_id, key, position, tokens, [_dump(entry) for entry in entries])


def joined_row(job_id: UUID, tenant_id: UUID, key: DataKey, passages: Sequence[Passage]) -> dict[str, object]:
    """Seal all passages of a log into one row in their place."""
    items = []
    for passage in passages:
        first, *rest = passage.entries
        items += [_dump(first) | {BEGINS: passage.start.offset}, *map(_dump, rest)]
    start = Position(passages[0].start.revision, 0)
    return _row(job_id, tenant_id, key, start, sum(passage.tokens for passage in passages), items)


def passages(chunks: Iterable[Chunk], key: DataKey) -> list[Passage]:
    """Open the rows of one job's log, in their order."""
    found: list[Passage] = []
    for chunk in chunks:
        start = Position(chunk.revision, chunk.offset)
        items = json.loads(key.open(chunk.body, place(chunk.job_id, start)))
        begun: list[tuple[int, list[Entry]]] = []
        for item in items:
            if BEGINS in item or not begun:
                begun.append((item.get(BEGINS, start.offset), []))
            begun[-1][1].append(_load(item))
        found += [Passage(Position(start.revision, offset), tuple(entries)) for offset, entries in begun]
    return found


def read(chunks: Iterable[Chunk], key: DataKey) -> list[Entry]:
    """Open the rows of one job's log, as entries alone."""
    return [entry for passage in passages(chunks, key) for entry in passage.entries]


def _row(
    job_id: UUID, tenant_id: UUID, key: DataKey, start: Position, tokens: int, items: Sequence[dict[str, Any]]
) -> dict[str, object]:
    body = json.dumps(items, ensure_ascii=False, separators=(",", ":"))
    return {
        "job_id": job_id,
        "revision": start.revision,
        "offset": start.offset,
        "tenant_id": tenant_id,
        "tokens": tokens,
        "body": key.seal(body.encode(), place(job_id, start)),
    }


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
