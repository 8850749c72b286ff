"""What the API does with a job: submit, cancel, delete."""

import hmac
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from quire import errors
from quire.jobs.steps import end_by_decree
from quire.store import Entry, Job, idempotency, job_counts, job_steps
from quire.store import chunk as chunks
from quire.store import lane as lanes
from quire.store.base import now
from quire.store.job import Hold, Kind, State
from quire.store.lane import LaneKey

MARGIN = 1_000  # submissions of one tenant that may be under way at once, all API processes together


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
    job = job_steps.of_tenant(session, tenant_id, earlier.job_id)
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
    _check_quota(session, new.tenant_id, max_queued)
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
        retention_hours=new.retention_hours,
    )
    session.add(job)
    session.add(Entry(job_id=job.id, tenant_id=job.tenant_id, model=job.model, reserved=job.estimate))
    session.flush()
    session.refresh(job)
    if not held:
        lanes.wake(session, [lane])
    return job


def _check_quota(session: Session, tenant_id: UUID, max_queued: int) -> None:
    """Count; near the limit, count again with the tenant's submissions one after the other.

    Raises:
        QuotaExceeded: one more would be too many.

    """
    queued = job_counts.queued_of(session, tenant_id, max_queued)
    if queued >= max_queued - MARGIN:
        job_counts.serialise_submissions(session, tenant_id)
        queued = job_counts.queued_of(session, tenant_id, max_queued)
    if queued >= max_queued:
        raise errors.QuotaExceeded(f"The tenant has {max_queued} jobs waiting, which is its limit.")


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
    return job


def delete(session: Session, tenant_id: UUID, job_id: UUID) -> None:
    """Delete a terminal job and its text; its ledger entry stays.

    Raises:
        NotFound: the tenant has no such job.
        Conflict: it is queued or running.

    """
    job = job_steps.of_tenant(session, tenant_id, job_id, lock=True)
    if job is None:
        raise errors.NotFound
    if not job.state.is_terminal:
        raise errors.Conflict(f"The job is {job.state}: cancel it before deleting it.")
    chunks.delete(session, job.id)
    session.delete(job)
