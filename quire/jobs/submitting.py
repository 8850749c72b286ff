"""What the API does with a job: submit, cancel, delete."""

import hmac
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from quire import errors
from quire.jobs import slicing
from quire.jobs.admission import admit, reserve
from quire.jobs.backlogs import Backlogs
from quire.jobs.steps import end_by_decree, put_back
from quire.quotas import Quotas
from quire.store import Job, LedgerEntry, idempotency, job_steps
from quire.store import chunk as chunks
from quire.store import lane as lanes
from quire.store.base import now
from quire.store.job import Hold, Kind, State
from quire.store.lane import LaneKey


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
    retention_hours: int | None = None
    kind: Kind = Kind.TEXT
    background: bool = False  # one of OpenAI's responses, and nobody waits for it

    def is_held(self, moment: datetime) -> bool:
        return self.not_before is not None and self.not_before > moment

    @property
    def reserved(self) -> int:
        """Tokens that may be billed at most: draws that are not delivered are work, but not billed.

        Those of a book are reserved as it goes.
        """
        if self.kind is Kind.LONGFORM:
            return slicing.first(self.prompt_tokens, self.max_tokens, self.estimate)
        return self.prompt_tokens + self.max_tokens


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
    first = first_made_before(session, tenant_id, once)
    if first is None:
        return None
    job = job_steps.of_tenant(session, tenant_id, first)
    if job is None:
        raise errors.Gone("The job that this Idempotency-Key made has been deleted.")
    return job


def first_made_before(session: Session, tenant_id: UUID, once: Once) -> UUID | None:
    """Return the id of the first job that a key has made, deleted or not; None if the key is new.

    Raises:
        IdempotencyKeyReused: the key came with another body.

    """
    earlier = idempotency.find(session, tenant_id, once.key)
    if earlier is None:
        return None
    if not hmac.compare_digest(earlier.fingerprint, once.fingerprint):
        raise errors.IdempotencyKeyReused
    return earlier.job_id


def submit(
    session: Session, new: Submission, *, once: Once | None, quotas: Quotas, backlogs: Backlogs | None = None
) -> Job:
    """Queue a job, reserve its tokens and wake its lane. With a key used before, return that key's job.

    With `backlogs`, the tenant's jobs are not counted again each time.

    Raises:
        IdempotencyKeyReused: the key came with another body.
        Gone: what the key made has been deleted.
        QuotaExceeded, DailyTokensExceeded: the tenant's quota is used up.

    """
    if once and not idempotency.enter(session, new.tenant_id, once.key, once.fingerprint, new.id):
        earlier = made_before(session, new.tenant_id, once)
        if earlier is not None:
            return earlier
    admit(session, new.tenant_id, 1, max_queued=quotas.max_queued, backlogs=backlogs or Backlogs())
    lane = LaneKey(new.model, new.tenant_id)
    lanes.open_lane(session, lane)
    held = new.not_before is not None and new.is_held(now(session))
    job = Job(
        id=new.id,
        tenant_id=new.tenant_id,
        model=new.model,
        kind=new.kind,
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
        retention_hours=new.retention_hours,
        background=new.background,
    )
    session.add(job)
    session.flush()  # and holds the lane's key
    if not held:
        lanes.wake_held(session, [lane])
    day = reserve(session, new.tenant_id, {new.model: new.reserved}, quotas)
    session.add(
        LedgerEntry(job_id=job.id, tenant_id=job.tenant_id, model=job.model, day=day, reserved=new.reserved)
    )
    session.flush()
    return job


def cancel(session: Session, tenant_id: UUID, job_id: UUID) -> Job:
    """End a job at once, queued or running; what is committed by now is delivered and billed.

    A terminal job is returned as it is.

    Raises:
        NotFound: the tenant has no such job.

    """
    job = job_steps.of_tenant(session, tenant_id, job_id, lock=True)
    if job is None:
        raise errors.NotFound
    if not job.state.is_terminal:
        end_by_decree(session, [job], State.CANCELLED)
        session.refresh(job)
    return job


def pause(session: Session, tenant_id: UUID, job_id: UUID) -> Job:
    """Hold a job, queued or running; what is committed by now stays, and it goes on exactly there.

    Raises:
        NotFound: the tenant has no such job.
        Conflict: it is over.

    """
    job = _live(session, tenant_id, job_id)
    if job.state is State.RUNNING:
        put_back(session, [job])
    job.hold = Hold.PAUSED
    session.flush()
    return job


def resume(session: Session, tenant_id: UUID, job_id: UUID) -> Job:
    """Let a paused job go on; one that is not paused stays as it is.

    A book that had begun waits for a scheduler to see that its tenant's day has room for its next slice.

    Raises:
        NotFound: the tenant has no such job.
        Conflict: it is over.

    """
    job = _live(session, tenant_id, job_id)
    if job.hold == Hold.PAUSED:
        job.hold = _hold_of(job, now(session))
        session.flush()
        lanes.wake(session, [LaneKey(job.model, job.tenant_id)])
    return job


def _hold_of(job: Job, moment: datetime) -> Hold:
    if job.not_before is not None and job.not_before > moment:
        return Hold.NOT_BEFORE
    if job.kind == Kind.LONGFORM and job.started_at is not None:
        return Hold.BUDGET
    return Hold.NONE


def _live(session: Session, tenant_id: UUID, job_id: UUID) -> Job:
    job = job_steps.of_tenant(session, tenant_id, job_id, lock=True)
    if job is None:
        raise errors.NotFound
    if job.state.is_terminal:
        raise errors.Conflict(f"The job is {job.state}.")
    return job


def delete(session: Session, tenant_id: UUID, job_id: UUID) -> None:
    """Delete a terminal job, its text and its artifacts; its ledger entry stays.

    Raises:
        NotFound: the tenant has no such job.
        Conflict: it is queued or running, or an item of a batch.

    """
    job = job_steps.of_tenant(session, tenant_id, job_id, lock=True)
    if job is None:
        raise errors.NotFound
    if not job.state.is_terminal:
        raise errors.Conflict(f"The job is {job.state}: cancel it before deleting it.")
    if job.batch_id is not None:
        raise errors.Conflict("The job is an item of a batch, and is deleted with it.")
    chunks.delete(session, job.id)
    session.delete(job)  # and with it, by foreign keys, its artifacts
