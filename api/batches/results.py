"""The results of a batch, as a file that grows: lines of what has ended, the same bytes at every look."""

import csv
import io
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from api import presenter
from api.batches.answers import BatchResult
from api.responses import Failure, Usage
from quire import batches, ids, pieces, textlog
from quire.batches import Cursor, Place
from quire.crypto import DataKey, KeyRing
from quire.database import Database
from quire.store import Batch, Job, Tenant, chunk
from quire.store.batch import BatchState
from quire.store.job import State

Format = Literal["jsonl", "csv"]

PAGE = 200  # items of one transaction
MARKS = 1_000  # files of which it is remembered where their pages begin
COLUMNS = (
    *("index", "custom_id", "job_id", "state", "piece", "text", "finish_reason", "seed"),
    *("prompt_tokens", "completion_tokens", "error_code", "error_message"),
)
NO_TEXT = (None, None, None)
# Why an item never ran, by what became of its batch.
NEVER_RAN = {
    BatchState.CANCELLED: (State.CANCELLED, "batch_cancelled", "The batch was cancelled before this item ran."),
    BatchState.EXPIRED: (State.EXPIRED, "batch_expired", "The batch's deadline passed before this item ran."),
    BatchState.EXHAUSTED: (State.CANCELLED, "budget_exhausted", "The batch's budget was used up before this."),
}


@dataclass(frozen=True)
class Page:
    """Some lines, and where to go on behind them."""

    lines: Sequence[bytes]
    after: Cursor


@dataclass(frozen=True)
class Result:
    """One item that has ended, its job, if it had one, and what that wrote."""

    place: Place
    job: Job | None
    pieces: Sequence[pieces.Piece]


class Results:
    def __init__(self, database: Database, ring: KeyRing) -> None:
        self._database = database
        self._ring = ring
        self._marks = _Marks()

    def page(self, tenant_id: UUID, batch_id: UUID, form: Format, after: Cursor | None, limit: int) -> Page:
        """Return the lines of the next items; None is the beginning, where CSV has the names of its columns.

        Raises:
            NotFound: the tenant has no such batch.

        """
        with self._database.tenant(tenant_id) as session:
            batch = batches.find(session, tenant_id, batch_id)
            key = self._ring.unwrap(session.get_one(Tenant, tenant_id).wrapped_key, tenant_id)
            start = after or Cursor()
            found = results(session, batch, key, start, limit)
        lines = [_line(form, batch, each) for each in found]
        if form == "csv" and after is None:
            lines.insert(0, _cells(COLUMNS))
        return Page(lines, found[-1].place.after if found else start)

    def pages(self, tenant_id: UUID, batch_id: UUID, form: Format, after: Cursor | None) -> Iterator[Page]:
        """Yield pages up to what has ended by now; each is read when it is asked for, the first at once."""
        page = self.page(tenant_id, batch_id, form, after, PAGE)
        while page.after != (after or Cursor()):
            yield page
            after = page.after
            page = self.page(tenant_id, batch_id, form, after, PAGE)
        if page.lines:  # of a file without items, its head
            yield page

    def span(self, tenant_id: UUID, batch_id: UUID, form: Format, start: int, most: int) -> bytes:
        """Return at most so many bytes of the file as it is now, from `start`; none behind its end."""
        place, cursor = self._marks.before(batch_id, form, start)
        found = bytearray()
        for page in self.pages(tenant_id, batch_id, form, cursor):
            data = b"".join(page.lines)
            found += data[max(0, start - place) :]
            place += len(data)
            if len(page.lines) >= PAGE:  # a page that is full begins and ends in the same places for ever
                self._marks.add(batch_id, form, place, page.after)
            if len(found) >= most:
                break
        return bytes(found[:most])


class _Marks:
    """Where pages begin in the files read last: bytes before them, and their cursors."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[UUID, Format], list[tuple[int, Cursor]]] = OrderedDict()

    def before(self, batch: UUID, form: Format, start: int) -> tuple[int, Cursor | None]:
        with self._lock:
            marks = self._known.get((batch, form), [])
            index = bisect_right(marks, start, key=lambda mark: mark[0])
        return marks[index - 1] if index else (0, None)

    def add(self, batch: UUID, form: Format, place: int, cursor: Cursor) -> None:
        with self._lock:
            marks = self._known.setdefault((batch, form), [])
            self._known.move_to_end((batch, form))
            if not marks or marks[-1][0] < place:
                marks.append((place, cursor))
            while len(self._known) > MARKS:
                self._known.popitem(last=False)


def results(session: Session, batch: Batch, key: DataKey, after: Cursor, limit: int) -> list[Result]:
    """Return the next items that have ended, with what they wrote, inside the tenant's transaction."""
    found = batches.places(session, batch, after, limit)
    wanted = [place.job for place in found if place.job]
    jobs = {job.id: job for job in session.scalars(select(Job).where(Job.id.in_(wanted)))} if wanted else {}
    logs = chunk.of_jobs(session, [job.id for job in jobs.values() if job.started_at])
    return [
        Result(
            place,
            jobs.get(place.job) if place.job else None,
            pieces.fold(textlog.read(logs.get(place.job, ()), key)) if place.job else (),
        )
        for place in found
    ]


def _line(form: Format, batch: Batch, result: Result) -> bytes:
    told = _told(batch, result)
    if form == "jsonl":
        return told.model_dump_json().encode() + b"\n"
    error = told.error or Failure(code="", message="")
    rest = (told.seed, told.usage.prompt_tokens, told.usage.completion_tokens, error.code, error.message)
    start = (told.index, told.custom_id, told.job_id, told.state.value)
    texts: list[tuple[object, ...]] = [(piece.index, piece.text, piece.finish_reason) for piece in told.pieces]
    return b"".join(_cells((*start, *text, *rest)) for text in texts or [NO_TEXT])


def _told(batch: Batch, result: Result) -> BatchResult:
    item, job = result.place.item, result.job
    state, error = _end(batch, result)
    billed = (job.prompt_tokens if job.started_at else 0, job.completion_tokens) if job else (0, 0)
    return BatchResult(
        index=item.number,
        custom_id=item.custom_id,
        job_id=ids.show(ids.JOB, result.place.job) if result.place.job else None,
        state=state,
        seed=item.seed,
        pieces=[presenter.piece(piece) for piece in result.pieces],
        usage=Usage(prompt_tokens=billed[0], completion_tokens=billed[1], total_tokens=sum(billed)),
        error=error,
    )


def _end(batch: Batch, result: Result) -> tuple[State, Failure | None]:
    job, item = result.job, result.place.item
    if job is not None:
        return job.state, Failure(**job.error) if job.error else None
    if item.error is not None:
        return State.FAILED, Failure(**item.error)
    state, code, message = NEVER_RAN[batch.state]
    return state, Failure(code=code, message=message)


def _cells(row: Sequence[object]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow(["" if cell is None else cell for cell in row])
    return text.getvalue().encode()
