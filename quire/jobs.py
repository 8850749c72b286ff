"""The one door through which jobs move. Each function is one transition, inside the caller's transaction.

    queued -> running -> succeeded | failed | cancelled | expired,  and  running -> queued

Three things hold everywhere. A transition locks its jobs first, in the order of their ids, then their lanes, in
key order. What a worker says is fenced: it counts only while the job is running under the fence that the worker
claimed. A terminal state never changes.
"""

import hmac
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from quire import errors, fairness
from quire.crypto import WrappedKey
from quire.store import Chunk, Entry, Job, idempotency, ledger
from quire.store import chunk as chunks
from quire.store import job as jobs
from quire.store import lane as lanes
from quire.store.base import now
from quire.store.job import Hold, Kind, Move, Run, State
from quire.store.lane import Change, LaneKey

BATCH = 500  # jobs that one transaction of a scheduler's duty moves at most


# ---- from the API ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Submission:
    """A job that has been checked and is to be queued. Its body is sealed for its id."""

    id: UUID
    tenant_id: UUID
    model: str
    seed: int
    body: bytes
    prompt_tokens: int
    max_tokens: int  # of all delivered pieces together
    estimate: int  # work, in tokens
    not_before: datetime | None = None
    deadline: datetime | None = None
    priority: int = 0
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Once:
    """An Idempotency-Key, and the keyed hash of what was sent with it."""

    key: str
    fingerprint: bytes


def made_before(session: Session, tenant_id: UUID, once: Once) -> Job | None:
    """Return the job that a key has made; None if the key is new.

    Raises:
        IdempotencyKeyReused: the key came with another body.
        Gone: what the key made has been deleted.

    """
    earlier = idempotency.find(session, tenant_id, once.key)
    if earlier is None:
        return None
    if not hmac.compare_digest(earlier.fingerprint, once.fingerprint):
        raise errors.IdempotencyKeyReused
    job = jobs.of_tenant(session, tenant_id, earlier.job_id)
    if job is None:
        raise errors.Gone("The job that this Idempotency-Key made has been deleted.")
    return job


def submit(session: Session, new: Submission, *, once: Once | None, max_queued: int) -> Job:
    """Queue a job, reserve its tokens and wake its lane. With a key used before, return that key's job.

    Raises:
        IdempotencyKeyReused: the key came with another body.
        Gone: what the key made has been deleted.
        QuotaExceeded: the tenant has `max_queued` jobs waiting.

    """
    if once and not idempotency.enter(session, new.tenant_id, once.key, once.fingerprint, new.id):
        earlier = made_before(session, new.tenant_id, once)
        if earlier is not None:
            return earlier
    if jobs.queued_of(session, new.tenant_id, max_queued) >= max_queued:
        raise errors.QuotaExceeded(f"The tenant has {max_queued} jobs waiting, which is its limit.")
    lane = LaneKey(new.model, new.tenant_id)
    lanes.open_lane(session, lane)
    held = new.not_before is not None and new.not_before > now(session)
    job = Job(
        id=new.id,
        tenant_id=new.tenant_id,
        model=new.model,
        kind=Kind.TEXT,
        hold=Hold.NOT_BEFORE if held else Hold.NONE,
        priority=new.priority,
        seed=new.seed,
        body=new.body,
        user_metadata=new.metadata,
        prompt_tokens=new.prompt_tokens,
        max_tokens=new.max_tokens,
        estimate=new.estimate,
        not_before=new.not_before,
        deadline=new.deadline,
    )
    session.add(job)
    session.add(Entry(job_id=job.id, tenant_id=job.tenant_id, model=job.model, reserved=job.estimate))
    session.flush()
    session.refresh(job)
    if not held:
        lanes.wake(session, [lane])
    return job


def cancel(session: Session, tenant_id: UUID, job_id: UUID) -> Job:
    """End a job at once, queued or running; what is committed by now is delivered and billed.

    A terminal job is returned as it is.

    Raises:
        NotFound: the tenant has no such job.

    """
    job = jobs.of_tenant(session, tenant_id, job_id, lock=True)
    if job is None:
        raise errors.NotFound
    if not job.state.is_terminal:
        _end_by_decree(session, [job], State.CANCELLED)
    return job


def delete(session: Session, tenant_id: UUID, job_id: UUID) -> None:
    """Delete a terminal job and its text; its ledger entry stays.

    Raises:
        NotFound: the tenant has no such job.
        Conflict: it is queued or running.

    """
    job = jobs.of_tenant(session, tenant_id, job_id, lock=True)
    if job is None:
        raise errors.NotFound
    if not job.state.is_terminal:
        raise errors.Conflict(f"The job is {job.state}: cancel it before deleting it.")
    chunks.delete(session, job.id)
    session.delete(job)


# ---- from a worker ---------------------------------------------------------------------------------------


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

    @property
    def run(self) -> Run:
        return Run(self.id, self.fence)


@dataclass(frozen=True)
class Outcome:
    """How a worker's run of a job ended."""

    state: State  # succeeded, failed, or queued: put back unfinished, by a drain
    work: int  # tokens prefilled and decoded by this claim
    completion_tokens: int = 0  # delivered
    error: dict[str, str] | None = None


@dataclass(frozen=True)
class Report:
    """What a worker says of one job: rows for its log, and its outcome if it has ended."""

    job_id: UUID
    fence: int
    rows: Sequence[dict[str, object]] = ()
    outcome: Outcome | None = None

    @property
    def run(self) -> Run:
        return Run(self.job_id, self.fence)


def claim(session: Session, *, model: str, worker_id: UUID, numerics: str | None, k: int) -> list[Claimed]:
    """Move the k fairest runnable jobs of a model to a worker, if its lease is alive."""
    lanes.serialise_claims(session, model)
    if not lanes.hold_lease(session, worker_id):
        return []
    won: list[Any] = []
    seen: dict[UUID, bool] = {}  # each lane looked at, and whether it had a runnable job
    while len(won) < k:
        answer = lanes.pick(session, model, worker_id, numerics, k - len(won), list(seen))
        if not answer:
            break
        won += [row for row in answer if row.id is not None]
        seen |= {row.lane: row.backlogged for row in answer}
    if won:
        lanes.advance(session, model, max(row.start for row in won))
        lanes.adjust(session, [(LaneKey(model, row.lane), Change(1, row.estimate)) for row in won])
    # Last, because it takes stronger locks out of order; it skips what it cannot lock at once.
    lanes.clear(session, model, [lane for lane, backlogged in seen.items() if not backlogged])
    logs = chunks.of_jobs(session, [row.id for row in won])
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
            log=logs[row.id],
        )
        for row in won
    ]


def commit(session: Session, reports: Sequence[Report]) -> set[Run]:
    """Write what a worker says of its jobs: text first, then outcomes, settlements and lanes.

    A worker that does not know whether its last report was written sends the same again.
    Returns the runs that are no longer this worker's, of which nothing was written.
    """
    runs = [report.run for report in reports]
    mine = jobs.lock_fenced(session, runs)
    valid = [report for report in reports if report.run in mine]
    chunks.append(session, [row for report in valid for row in report.rows])
    _take(session, [
        Step(
            Move(report.job_id, ended.state, completion_tokens=ended.completion_tokens, error=ended.error),
            work=ended.work,
        )
        for report in valid
        if (ended := report.outcome)
    ])  # fmt: skip
    return set(runs) - mine


def put_back_unknown(session: Session, worker_id: UUID, known: Collection[Run]) -> int:
    """Put back what runs on a worker without its knowledge: a claim whose answer was lost on the way."""
    unknown = [job for job in jobs.lock_of_worker(session, worker_id) if Run(job.id, job.fence) not in known]
    _take(session, [Step(Move(job.id, State.QUEUED, new_fence=True), work=0) for job in unknown])
    return len(unknown)


# ---- from a scheduler ------------------------------------------------------------------------------------


def release_due(session: Session) -> int:
    """Make jobs runnable whose `not_before` has come."""
    due = jobs.lock_due(session, BATCH)
    for job in due:
        job.hold = Hold.NONE
    session.flush()
    lanes.wake(session, [LaneKey(job.model, job.tenant_id) for job in due])
    return len(due)


def expire_overdue(session: Session) -> int:
    """End jobs whose deadline has passed, queued or running."""
    overdue = jobs.lock_overdue(session, BATCH)
    _end_by_decree(session, overdue, State.EXPIRED)
    return len(overdue)


def requeue_orphans(session: Session, max_attempts: int) -> int:
    """Put back running jobs whose worker is gone, each with one more attempt counted.

    A job on its last attempt runs alone in its engine, and only one that was alone when its worker died is
    given up: a job that kills its worker must not take its neighbours along.
    """
    orphans = jobs.lock_orphans(session, BATCH)
    ends = chunks.ends(session, [job.id for job in orphans])
    steps = []
    for job in orphans:
        logged = ends[job.id].offset
        work = fairness.work_of_claim(job.prompt_tokens, logged)
        if job.alone and job.attempts + 1 >= max_attempts:
            error = {
                "code": "worker_lost",
                "message": f"Its worker died {max_attempts} times, last with it alone.",
            }
            move = Move(job.id, State.FAILED, completion_tokens=logged, error=error, new_fence=True, attempt=True)
        else:
            # A neighbour's crash must not use up the last attempt: it waits there until it runs alone.
            counts = job.attempts + 1 < max_attempts
            move = Move(job.id, State.QUEUED, new_fence=True, attempt=counts)
        steps.append(Step(move, work=work))
    _take(session, steps)
    return len(orphans)


# ---- shared ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """A move, and the work of the claim that it ends; None if the job was not running."""

    move: Move
    work: int | None


def _end_by_decree(session: Session, doomed: Sequence[Job], state: State) -> None:
    """End locked jobs whatever they do, with the text that is committed by now."""
    ends = chunks.ends(session, [job.id for job in doomed])
    steps = []
    for job in doomed:
        logged = ends[job.id].offset
        running = job.state == State.RUNNING
        work = fairness.work_of_claim(job.prompt_tokens, logged) if running else None
        steps.append(Step(Move(job.id, state, completion_tokens=logged, new_fence=True), work=work))
    _take(session, steps)
    for job in doomed:
        session.refresh(job)


def _take(session: Session, steps: Sequence[Step]) -> None:
    """Move locked jobs, settle the terminal ones, correct their lanes, and wake those put back."""
    if not steps:
        return
    by_id = {step.move.id: step for step in steps}
    moved = [(row, by_id[row.id]) for row in jobs.move(session, [step.move for step in steps])]
    ledger.settle(session, [
        (row.id, row.prompt_tokens if row.started_at else 0, step.move.completion_tokens)
        for row, step in moved
        if step.move.state.is_terminal
    ])  # fmt: skip
    lanes.adjust(session, [
        (LaneKey(row.model, row.tenant_id), Change(-1, step.work - row.charged))
        for row, step in moved
        if step.work is not None
    ])  # fmt: skip
    lanes.wake(
        session, [LaneKey(row.model, row.tenant_id) for row, step in moved if not step.move.state.is_terminal]
    )
