"""What a worker does with jobs: claim them, and say what became of them."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from quire.crypto import WrappedKey
from quire.jobs import slicing
from quire.jobs.steps import Step, take
from quire.store import Chunk, artifact, blame, job_steps, slices, turns
from quire.store import chunk as chunks
from quire.store import lane as lanes
from quire.store.artifact import Sealed
from quire.store.job import Hold, Run, State
from quire.store.job_steps import Move
from quire.store.lane import Change, LaneKey


@dataclass(frozen=True)
class Claimed:
    """A job that now runs on the worker that claimed it."""

    id: UUID
    tenant_id: UUID
    fence: int
    attempts: int
    seed: int
    body: bytes
    prompt_tokens: int
    wrapped_key: WrappedKey
    log: Sequence[Chunk]  # what earlier claims have written
    seconds_left: float | None = None  # until its deadline, at the claim

    @property
    def run(self) -> Run:
        return Run(self.id, self.fence)


@dataclass(frozen=True)
class Outcome:
    """How a worker's run of a job ended."""

    state: State  # succeeded, failed, expired, or queued: put back unfinished, by a drain
    work: int  # tokens prefilled and decoded by this claim
    completion_tokens: int = 0  # delivered
    error: dict[str, str] | None = None
    cut: bool = False  # it succeeded, and a piece of it ended at its most tokens


@dataclass(frozen=True)
class Report:
    """What a worker says of one job: rows for its log, and its outcome if it has ended."""

    job_id: UUID
    fence: int
    rows: Sequence[dict[str, object]] = ()
    outcome: Outcome | None = None
    # Work of a book since the last report, charged as it goes; not part of the outcome's. None: it is no book.
    turn: int | None = None

    @property
    def run(self) -> Run:
        return Run(self.job_id, self.fence)


def claim(session: Session, *, model: str, worker_id: UUID, numerics: str | None, k: int) -> list[Claimed]:
    """Move the k fairest runnable jobs of a model to a worker, if its lease is alive; they come in their turn."""
    # The lease first: nobody can end it while its row is held, and the others' turn is not used up by asking.
    if not lanes.hold_lease(session, worker_id):
        return []
    lanes.serialise_claims(session, model)
    won: list[Any] = []
    seen: dict[UUID, bool] = {}  # each lane looked at, and whether it had a runnable job
    while len(won) < k:
        answer = lanes.pick(session, model, worker_id, numerics, k - len(won), list(seen))
        if not answer:
            break
        won += [row for row in answer if row.id is not None]
        seen |= {row.lane: row.backlogged for row in answer}
    if won:
        lanes.advance(session, model, max(row.settled for row in won))
        lanes.adjust(session, [(LaneKey(model, row.lane), Change.claimed(row.estimate)) for row in won])
    # Last, because it takes stronger locks out of order; it skips what it cannot lock at once.
    lanes.clear(session, model, [lane for lane, backlogged in seen.items() if not backlogged])
    # At its first claim a job has no log to go on from.
    logs = chunks.of_jobs(session, [row.id for row in won if row.fence > 1])
    return [
        Claimed(
            id=row.id,
            tenant_id=row.lane,
            fence=row.fence,
            attempts=row.attempts,
            seed=row.seed,
            body=row.body,
            prompt_tokens=row.prompt_tokens,
            wrapped_key=WrappedKey(row.master_key, row.data_key),
            log=logs.get(row.id, ()),
            seconds_left=row.seconds_left,
        )
        for row in won
    ]


def commit(session: Session, reports: Sequence[Report]) -> set[Run]:
    """Write what a worker says of its jobs: text first, then outcomes, settlements and lanes.

    A worker that does not know whether its last report was written sends the same again.
    Returns the runs that are no longer this worker's, of which nothing was written; and those of books that were
    held, because the tenant's tokens of the day are used up.
    """
    runs = [report.run for report in reports]
    mine = job_steps.lock_fenced(session, runs)
    valid = [report for report in reports if report.run in mine]
    chunks.append(session, [row for report in valid for row in report.rows])
    written = {report.job_id: _end(report) for report in valid if report.turn is not None and report.rows}
    books = slices.open_entries(session, written) if written else []
    over = {report.job_id for report in valid if report.outcome}
    held = slicing.without_room(books, written) - over
    steps = [Step(Move(job_id, State.QUEUED, new_fence=True), work=0) for job_id in held]
    steps += [
        Step(
            Move(
                report.job_id,
                ended.state,
                completion_tokens=ended.completion_tokens,
                error=ended.error,
                cut=ended.cut,
            ),
            work=ended.work,
        )
        for report in valid
        if (ended := report.outcome)
    ]
    take(session, steps, _turns(session, valid))
    job_steps.hold(session, held, Hold.BUDGET)
    slicing.reserve(session, books, written, stopping=held | over)
    return (set(runs) - mine) | {run for run in mine if run.job_id in held}


def _end(report: Report) -> int:
    """Return where a log ends with its report, in tokens."""
    last = report.rows[-1]
    return int(str(last["offset"])) + int(str(last["tokens"]))


def _turns(session: Session, reports: Sequence[Report]) -> dict[LaneKey, int]:
    """Return the work of jobs charged as they go, by lane.

    One that has written more since its last worker died is no job that kills workers: it would have stopped at the
    same place. A book of hours may lose as many workers as it likes.
    """
    work = {report.job_id: report.turn for report in reports if report.turn}
    if not work:
        return {}
    grown = {report.job_id for report in reports if report.rows}
    rows = session.execute(turns.OF_JOBS, {"jobs": list(work)}).all()
    blame.exonerate(session, [row.id for row in rows if row.attempts and row.id in grown])
    by_lane: Counter[LaneKey] = Counter()
    for row in rows:
        by_lane[LaneKey(row.model, row.tenant_id)] += work[row.id]
    return dict(by_lane)


def keep_artifacts(session: Session, run: Run, artifacts: Sequence[Sealed]) -> bool:
    """Keep files that a run has made, in the place of those of an earlier run; False if the job was lost."""
    if not job_steps.lock_fenced(session, [run]):
        return False
    artifact.replace(session, run.job_id, artifacts)
    return True


def put_back_unknown(session: Session, worker_id: UUID, known: Collection[Run]) -> int:
    """Put back what runs on a worker without its knowledge: a claim whose answer was lost on the way."""
    unknown = [job for job in job_steps.lock_of_worker(session, worker_id) if Run(job.id, job.fence) not in known]
    take(session, [Step(Move(job.id, State.QUEUED, new_fence=True), work=0) for job in unknown])
    return len(unknown)
