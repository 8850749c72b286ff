"""What a scheduler does with jobs: release, expire, and put back."""

from uuid import UUID

from sqlalchemy.orm import Session

from quire import fairness
from quire.jobs import slicing
from quire.jobs.steps import Step, end_by_decree, put_back, take
from quire.store import blame, job_steps, slices
from quire.store import chunk as chunks
from quire.store import lane as lanes
from quire.store.job import Hold, State
from quire.store.job_steps import Move
from quire.store.lane import LaneKey

BATCH = 500  # jobs that one transaction moves at most


def release_due(session: Session) -> int:
    """Make jobs runnable whose `not_before` has come."""
    due = job_steps.lock_due(session, BATCH)
    for job in due:
        job.hold = Hold.NONE
    session.flush()
    lanes.wake(session, [LaneKey(job.model, job.tenant_id) for job in due])
    return len(due)


def expire_overdue(session: Session) -> int:
    """End jobs whose deadline has passed, queued or running."""
    overdue = job_steps.lock_overdue(session, BATCH)
    end_by_decree(session, overdue, State.EXPIRED)
    return len(overdue)


def put_back_suspended(session: Session) -> int:
    """Take running jobs back whose tenant is suspended: no attempt is counted, and their text stays."""
    running = job_steps.lock_suspended(session, BATCH)
    put_back(session, running)
    return len(running)


def hold_over_budget(session: Session) -> int:
    """Put running books back whose tenant has used more tokens today than it may, since its limit was lowered."""
    running = job_steps.lock_over_budget(session, BATCH)
    put_back(session, running)
    job_steps.hold(session, {job.id for job in running}, Hold.BUDGET)
    return len(running)


def release_within_budget(session: Session) -> int:
    """Let books go on whose tenant has tokens for a slice: another day has begun, or the limit was raised."""
    held = job_steps.lock_within_budget(session, BATCH)
    ids = [job.id for job in held]
    written = {job: end.offset for job, end in chunks.ends(session, ids).items()}
    books = slices.open_entries(session, ids)
    short = slicing.without_room_in_turn(books, written)
    free = [job for job in held if job.id not in short]
    job_steps.hold(session, {job.id for job in free}, Hold.NONE)
    lanes.wake(session, [LaneKey(job.model, job.tenant_id) for job in free])
    slicing.reserve(session, [book for book in books if book.id not in short], written)
    return len(free)


def cancel_live(session: Session, tenant_id: UUID) -> int:
    """Cancel some of the jobs of a tenant that is being deleted; returns how many."""
    live = job_steps.lock_live(session, tenant_id, BATCH)
    end_by_decree(session, live, State.CANCELLED)
    return len(live)


def acquit_neighbours(session: Session, max_attempts: int) -> int:
    """Take back the attempts that were counted for the neighbours of jobs that turn out to kill their workers.

    The step before `requeue_orphans`, in a transaction of its own: it locks jobs that are no orphans.
    """
    return blame.acquit(session, max_attempts)


def requeue_orphans(session: Session, max_attempts: int) -> int:
    """Put back running jobs whose worker is gone, with one more attempt counted for each that may be to blame.

    A job on its last attempt runs alone in its engine, and only one that was alone when its worker died is
    given up: a job that kills its worker must not take its neighbours along. Those that only waited for it to
    end are not counted anything.
    """
    orphans = job_steps.lock_orphans(session, BATCH)
    if not orphans:
        return 0
    ends = chunks.ends(session, [job.id for job in orphans])
    known = blame.had_to_itself(session, {job.worker_id for job in orphans if job.worker_id})
    steps = []
    for job in orphans:
        logged = ends[job.id].offset
        work = fairness.work_unheard(job.prompt_tokens, job.max_tokens, job.estimate, logged)
        if job.alone and job.attempts + 1 >= max_attempts:
            error = {
                "code": "worker_lost",
                "message": f"Its worker died {max_attempts} times, last with it alone.",
            }
            move = Move(job.id, State.FAILED, completion_tokens=logged, error=error, new_fence=True, attempt=True)
        else:
            # A neighbour's crash must not use up the last attempt: it waits there until it runs alone.
            may_be_to_blame = job.alone or job.worker_id not in known
            counts = may_be_to_blame and job.attempts + 1 < max_attempts
            move = Move(job.id, State.QUEUED, new_fence=True, attempt=counts)
        steps.append(Step(move, work=work))
    take(session, steps)
    return len(orphans)
