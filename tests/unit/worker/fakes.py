"""What stands for the engine, for Postgres and for the claimer in tests of the worker's plumbing."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy.exc import DataError, OperationalError

from quire.ids import new_id
from quire.jobs import Claimed, Report
from quire.pieces import Piece, as_entries, fold
from quire.spec import Input, Parameters, Spec
from quire.store import Chunk
from quire.store.chunk import Position
from quire.store.job import Run
from quire.testing import RING
from quire.textlog import chunk_row, read
from worker.engine import Delta, EngineCancelled, Finished, Request
from worker.engine.request import Reason

REFUSED = DataError("statement", {}, Exception("invalid"))
AWAY = OperationalError("statement", {}, Exception("server closed the connection"))


# ---- jobs --------------------------------------------------------------------------------------------------


def claimed(prompt: str = "Once", *, log: Sequence[Piece] = (), **columns: object) -> Claimed:
    """A job as a claim returns it, with what earlier runs have written."""
    parameters = columns.pop("parameters", Parameters(max_tokens=16))
    rules = columns.pop("rules", None)
    tenant_id = new_id()
    wrapped = RING.new_data_key(tenant_id)
    key = RING.unwrap(wrapped, tenant_id)
    job_id = columns.pop("id", None) or new_id()
    entries = as_entries(log)
    fields = {
        "id": job_id,
        "tenant_id": tenant_id,
        "fence": 1,
        "attempts": 0,
        "seed": 7,
        "body": key.seal(
            Spec(input=Input(prompt=prompt, rules=rules), parameters=parameters).encode(), f"job:{job_id}"
        ),
        "prompt_tokens": len(prompt.encode()),
        "wrapped_key": wrapped,
        "log": [Chunk(**chunk_row(job_id, tenant_id, key, Position(1, 0), entries))] if entries else [],
    }
    return Claimed(**fields | columns)


def byte_ids(text: str) -> tuple[int, ...]:
    return tuple(text.encode())


class ByteTokenizer:
    """One token for each byte; 256 ends a text."""

    end_ids = frozenset({256})
    token_bytes: Mapping[int, bytes] = {byte: bytes([byte]) for byte in range(256)}

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(token for token in ids if token < 256).decode(errors="replace")


# ---- the engine --------------------------------------------------------------------------------------------


@dataclass
class FakeSequence:
    """One request in the fake engine."""

    request: Request
    on_delta: Callable[[Delta], None]
    future: Future[Finished] = field(default_factory=Future)


class FakeEngine:
    """Writes what `answer` gives for a request, one token for each byte, at once or when it is told to.

    An answer that is an exception is raised instead. What a request has generated already is not written again.
    """

    def __init__(
        self,
        answer: Callable[[Request], str | Exception] = lambda _: "Hello",
        *,
        waits: bool = False,
        score: Callable[[Request], float] = lambda _: -1.0,
        reason: Reason = "stop",
    ) -> None:
        self._answer, self._waits, self._score, self._reason = answer, waits, score, reason
        self.sequences: list[FakeSequence] = []
        self.cancelled: list[int] = []  # the draws

    def submit(self, request: Request, on_delta: Callable[[Delta], None]) -> Future[Finished]:
        sequence = FakeSequence(request, on_delta)
        self.sequences.append(sequence)
        if not self._waits:
            self.finish(sequence)
        return sequence.future

    def cancel(self, future: Future[Finished]) -> None:
        (sequence,) = [one for one in self.sequences if one.future is future]
        self.cancelled.append(sequence.request.sampling.sample)
        future.set_exception(EngineCancelled())

    def write(self, sequence: FakeSequence, text: str) -> None:
        sequence.on_delta(Delta(byte_ids(text), text))

    def finish(self, sequence: FakeSequence) -> None:
        answer = self._answer(sequence.request)
        if isinstance(answer, Exception):
            sequence.future.set_exception(answer)
            return
        self.write(sequence, answer.encode()[len(sequence.request.generated) :].decode())
        finished = Finished(self._reason, self._score(sequence.request), len(answer.encode()))
        sequence.future.set_result(finished)


# ---- Postgres ----------------------------------------------------------------------------------------------


class FakePostgres:
    """Takes reports as `jobs.commit` does: a row twice is one row, a run that is lost writes nothing."""

    def __init__(self) -> None:
        self.commits: list[list[Report]] = []  # those that were answered
        self.rows: dict[tuple[UUID, int], dict[str, object]] = {}  # by job and offset
        self.outcomes: dict[Run, object] = {}
        self.lost: set[Run] = set()
        self.refuses: set[UUID] = set()  # jobs whose rows cannot be written
        self.before: list[Exception] = []  # raised instead of the next commits
        self.after: list[Exception] = []  # raised after the next commits have happened

    def commit(self, reports: Sequence[Report]) -> set[Run]:
        if self.before:
            raise self.before.pop(0)
        for report in reports:
            if report.job_id in self.refuses and report.rows:
                raise REFUSED
        lost = {report.run for report in reports if report.run in self.lost or report.run in self.outcomes}
        for report in reports:
            if report.run in lost:
                continue
            for row in report.rows:
                self.rows.setdefault((report.job_id, row["offset"]), row)
            if report.outcome:
                self.outcomes[report.run] = report.outcome
        if self.after:
            raise self.after.pop(0)
        self.commits.append(list(reports))
        return lost

    def log(self, job: Claimed) -> list[Chunk]:
        """The job's rows, which must follow each other without a gap."""
        rows = [
            row for (job_id, _), row in sorted(self.rows.items(), key=lambda item: item[0][1]) if job_id == job.id
        ]
        end = rows[0]["offset"] if rows else 0
        for row in rows:
            assert row["offset"] == end
            end += row["tokens"]
        return [Chunk(**row) for row in rows]

    def pieces(self, job: Claimed) -> list[Piece]:
        key = RING.unwrap(job.wrapped_key, job.tenant_id)
        return fold(read([*job.log, *self.log(job)], key))

    def text(self, job: Claimed) -> str:
        return "".join(piece.text for piece in self.pieces(job))


# ---- the claimer -------------------------------------------------------------------------------------------


class FakeClaimer:
    """Gives what it has, one after the other."""

    def __init__(self, *jobs: Claimed) -> None:
        self.jobs = list(jobs)
        self.released = 0
        self.occupied: list[int] = []  # slots beside each job's own, taken and given back

    def next(self) -> Claimed | None:
        return self.jobs.pop(0) if self.jobs else None

    def occupy(self, slots: int) -> None:
        self.occupied.append(slots)

    def release(self) -> None:
        self.released += 1
