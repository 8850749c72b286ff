"""Artifacts: files that a job has made, in sealed parts, so that a piece of one is read without the rest."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ForeignKey, ForeignKeyConstraint, delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from quire.store.base import Base, Big, Created, Identifier


class Artifact(Base):
    __tablename__ = "artifacts"

    job_id: Mapped[Identifier] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[UUID]
    piece: Mapped[int]
    media_type: Mapped[str]
    size: Mapped[Big]  # bytes; 0 if it could not be made
    digest: Mapped[bytes | None]  # sealed SHA-256 of the whole; null: it could not be made
    unavailable: Mapped[str | None]  # why not
    created_at: Mapped[Created]


class ArtifactPart(Base):
    __tablename__ = "artifact_parts"
    __table_args__ = (
        ForeignKeyConstraint(["job_id", "name"], ["artifacts.job_id", "artifacts.name"], ondelete="CASCADE"),
    )

    job_id: Mapped[Identifier]
    name: Mapped[str] = mapped_column(primary_key=True)
    part: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    tenant_id: Mapped[UUID]
    body: Mapped[bytes]  # sealed, as quire/artifacts.py cuts it


@dataclass(frozen=True)
class Sealed:
    """An artifact with its parts, ready to be written."""

    row: Artifact
    parts: Sequence[ArtifactPart]


def replace(session: Session, job_id: UUID, artifacts: Iterable[Sealed]) -> None:
    """Write artifacts of a job that this transaction has locked, in the place of those of the same names."""
    for each in artifacts:
        session.execute(delete(Artifact).where(Artifact.job_id == job_id, Artifact.name == each.row.name))
        session.add(each.row)
        session.flush()
        session.add_all(each.parts)
    session.flush()


def of_job(session: Session, job_id: UUID) -> Sequence[Artifact]:
    """Return what a job has made, by piece and name."""
    wanted = select(Artifact).where(Artifact.job_id == job_id).order_by(Artifact.piece, Artifact.name)
    return session.scalars(wanted).all()


def named(session: Session, job_id: UUID, name: str) -> Artifact | None:
    return session.scalar(select(Artifact).where(Artifact.job_id == job_id, Artifact.name == name))


def part(session: Session, job_id: UUID, name: str, number: int) -> bytes | None:
    """Return one sealed part; None if it is gone."""
    wanted = select(ArtifactPart.body).where(
        ArtifactPart.job_id == job_id, ArtifactPart.name == name, ArtifactPart.part == number
    )
    return session.scalar(wanted)
