"""The text log: append-only, sealed, one row for what a job wrote between two flushes.

A row is found by (job, revision, offset), where `offset` counts the tokens of the job's log before it, whatever
piece they belong to. The table is partitioned by job id, which is a UUIDv7 and so sorts by time: all rows of a
job lie in one partition, and old partitions are dropped whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from quire.ids import first_id_at
from quire.store.base import Base, Created, Identifier

PARTITION = timedelta(days=7)
PARTITION_EPOCH = datetime(2024, 1, 1, tzinfo=UTC)  # a Monday


class Chunk(Base):
    __tablename__ = "chunks"
    __table_args__ = ({"postgresql_partition_by": "RANGE (job_id)"},)

    job_id: Mapped[Identifier]
    revision: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    offset: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    tenant_id: Mapped[UUID]
    tokens: Mapped[int]
    body: Mapped[bytes]  # sealed entries, as quire/textlog.py writes them
    created_at: Mapped[Created]


@dataclass(frozen=True)
class Position:
    """A place in a log, between what two flushes wrote."""

    revision: int
    offset: int


START = Position(revision=1, offset=0)

ENDS = text("""
    SELECT job_id, max(revision) AS revision, max("offset" + tokens) AS "offset" FROM chunks
    WHERE job_id = ANY (CAST(:jobs AS uuid[])) GROUP BY job_id
""")
DELETE = text("DELETE FROM chunks WHERE job_id = :job")
# Only the owner of a table may attach a partition to it, so the migration made a function that does.
MAKE_PARTITION = text("SELECT make_chunks_partition(:name, :lower, :upper)")


def append(session: Session, rows: Sequence[dict[str, object]]) -> None:
    """Add rows of jobs that this transaction has locked; rows that are there are left alone.

    Only the run that holds a job's fence writes its log. So a row that is there is this writer's own, sent again
    because the answer to its commit was lost.
    """
    if rows:
        session.execute(insert(Chunk).on_conflict_do_nothing(), rows)


def ends(session: Session, jobs: Sequence[UUID]) -> dict[UUID, Position]:
    """Return the end of each job's log; START for those that have written nothing."""
    if not jobs:
        return {}
    found = session.execute(ENDS, {"jobs": list(jobs)})
    return dict.fromkeys(jobs, START) | {job: Position(revision, offset) for job, revision, offset in found}


def of_jobs(session: Session, jobs: Sequence[UUID]) -> dict[UUID, list[Chunk]]:
    """Return each job's log, in its order."""
    if not jobs:
        return {}
    statement = select(Chunk).where(Chunk.job_id.in_(jobs)).order_by(Chunk.job_id, Chunk.revision, Chunk.offset)
    logs: dict[UUID, list[Chunk]] = {job: [] for job in jobs}
    for chunk in session.scalars(statement):
        logs[chunk.job_id].append(chunk)
    return logs


def since(session: Session, job_id: UUID, position: Position) -> Sequence[Chunk]:
    """Return what the log of a job that still runs has gained from a position on."""
    statement = select(Chunk).where(
        Chunk.job_id == job_id, Chunk.revision == position.revision, Chunk.offset >= position.offset
    )
    return session.scalars(statement.order_by(Chunk.offset)).all()


def delete(session: Session, job_id: UUID) -> None:
    session.execute(DELETE, {"job": job_id})


def make_partition(session: Session, moment: datetime) -> bool:
    """Make the partition that holds the jobs of a moment; False if it is there."""
    start = PARTITION_EPOCH + (moment - PARTITION_EPOCH) // PARTITION * PARTITION
    bounds = {"lower": first_id_at(start), "upper": first_id_at(start + PARTITION)}
    return bool(session.scalar(MAKE_PARTITION, {"name": f"chunks_{start:%Y%m%d}"} | bounds))
