"""Which job it was that killed a worker.

A job counts an attempt for each worker that died under it, and remembers which. Of all the jobs of a dead worker
any may be to blame, so one that has lost several is run alone: if its worker dies even so, it is known.
"""

from collections.abc import Iterable, Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

ALONE = text("UPDATE jobs SET alone = true WHERE id = :id AND fence = :fence AND state = 'running' RETURNING id")
# Or had: another scheduler may have given up the one that was alone before this one looks at its neighbours.
HAD_TO_ITSELF = text("""
    SELECT worker_id FROM jobs WHERE state = 'running' AND alone AND worker_id = ANY (:workers)
    UNION
    SELECT unnest(lost_workers) FROM jobs
    WHERE cardinality(lost_workers) > 0 AND lost_workers && :workers AND state = 'failed' AND alone
        AND error ->> 'code' = 'worker_lost'
""")
KILLERS = text("""
    SELECT id, lost_workers FROM jobs
    WHERE state = 'running' AND alone AND attempts + 1 >= :max_attempts
        AND NOT EXISTS (SELECT FROM workers WHERE workers.id = jobs.worker_id)
""")
LOCK_SUSPECTS = text("""
    SELECT id FROM jobs
    WHERE cardinality(lost_workers) > 0 AND lost_workers && :workers AND id <> ALL (CAST(:killers AS uuid[]))
    ORDER BY id FOR NO KEY UPDATE
""")
ACQUIT = text("""
    UPDATE jobs SET lost_workers = kept, attempts = attempts - cardinality(lost_workers) + cardinality(kept)
    FROM (
        SELECT id AS suspect,
            ARRAY(SELECT lost FROM unnest(lost_workers) AS lost WHERE lost <> ALL (:workers)) AS kept
        FROM jobs WHERE id = ANY (:suspects)) AS found
    WHERE id = suspect
""")

EXONERATE = text("UPDATE jobs SET attempts = 0, lost_workers = '{}' WHERE id = ANY (CAST(:jobs AS uuid[]))")


def exonerate(session: Session, jobs: Sequence[UUID]) -> None:
    """Forget the workers that locked jobs have lost."""
    if jobs:
        session.execute(EXONERATE, {"jobs": list(jobs)})


def mark_alone(session: Session, job_id: UUID, fence: int) -> bool:
    """Note that a running job has its engine to itself; False if it is somebody else's by now."""
    return session.execute(ALONE, {"id": job_id, "fence": fence}).first() is not None


def had_to_itself(session: Session, workers: Iterable[UUID]) -> set[UUID]:
    """Return those of the workers whose engine a job has to itself, or had until it was given up; and others."""
    return set(session.scalars(HAD_TO_ITSELF, {"workers": list(workers)}))


def acquit(session: Session, max_attempts: int) -> int:
    """Take back what jobs were counted for workers that, as is known now, another job has killed.

    To be called before the killers are moved, so that whoever is interrupted in between does it again. Returns how
    many jobs it was.
    """
    killers: Sequence[tuple[UUID, list[UUID]]] = [
        (row.id, row.lost_workers) for row in session.execute(KILLERS, {"max_attempts": max_attempts})
    ]
    workers = [worker for _, lost in killers for worker in lost]
    if not workers:
        return 0
    killed_by = {"workers": workers, "killers": [job for job, _ in killers]}
    suspects = list(session.scalars(LOCK_SUSPECTS, killed_by))
    session.execute(ACQUIT, {"workers": workers, "suspects": suspects})
    return len(suspects)
