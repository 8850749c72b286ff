"""Files that a tenant has uploaded, in sealed parts, so that none is ever held whole."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ForeignKey, Index, Select, func, select, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from quire.store.base import Base, Big, Created, Identifier, now

ABANDONED = timedelta(hours=1)  # no upload takes so long


class File(Base):
    __tablename__ = "files"
    __table_args__ = (
        Index("files_of_tenant", "tenant_id", "id"),
        Index("files_expiring", "expires_at", postgresql_where=text("expires_at IS NOT NULL")),
        Index("files_receiving", "created_at", postgresql_where=text("NOT complete")),
    )

    id: Mapped[Identifier]
    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("tenants.id"))
    complete: Mapped[bool] = mapped_column(
        server_default="false"
    )  # until then nobody but its uploader knows of it
    filename: Mapped[str]
    purpose: Mapped[str]
    size: Mapped[Big] = mapped_column(server_default="0")  # bytes
    created_at: Mapped[Created]
    expires_at: Mapped[datetime | None]


class FilePart(Base):
    __tablename__ = "file_parts"

    file_id: Mapped[UUID] = mapped_column(ForeignKey("files.id", ondelete="CASCADE"), primary_key=True)
    part: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    tenant_id: Mapped[UUID]
    body: Mapped[bytes]  # sealed, as quire/files.py cuts it


def find(session: Session, tenant_id: UUID, file_id: UUID) -> File | None:
    """Return a file of a tenant that is complete and has not expired."""
    return session.scalar(_there(session, tenant_id).where(File.id == file_id))


def page(
    session: Session, tenant_id: UUID, *, purpose: str | None, after: UUID | None, ascending: bool, limit: int
) -> Sequence[File]:
    """Return files by their id, which is by their age."""
    wanted = _there(session, tenant_id).order_by(File.id.asc() if ascending else File.id.desc()).limit(limit)
    if purpose is not None:
        wanted = wanted.where(File.purpose == purpose)
    if after is not None:
        wanted = wanted.where(File.id > after if ascending else File.id < after)
    return session.scalars(wanted).all()


def stored(session: Session, tenant_id: UUID) -> int:
    """Return the bytes of all complete files of a tenant."""
    return int(
        session.scalar(select(func.coalesce(func.sum(File.size), 0)).where(File.tenant_id == tenant_id)) or 0
    )


def part(session: Session, file_id: UUID, number: int) -> bytes | None:
    """Return one sealed part; None if it is gone."""
    return session.scalar(select(FilePart.body).where(FilePart.file_id == file_id, FilePart.part == number))


def forget(session: Session, limit: int) -> int:
    """Remove some files that have expired, or whose upload broke off; returns how many."""
    moment = now(session)
    removed = 0
    for old in (File.expires_at < moment, ~File.complete & (File.created_at < moment - ABANDONED)):
        rows = session.scalars(select(File).where(old).limit(limit).with_for_update(skip_locked=True)).all()
        for row in rows:
            session.delete(row)  # and with it, by a foreign key, its parts
        removed += len(rows)
    session.flush()
    return removed


def erase(session: Session, tenant_id: UUID, limit: int) -> int:
    """Remove some files of a tenant that is being deleted; returns how many."""
    rows = session.scalars(select(File).where(File.tenant_id == tenant_id).limit(limit).with_for_update()).all()
    for row in rows:
        session.delete(row)
    session.flush()
    return len(rows)


def _there(session: Session, tenant_id: UUID) -> Select[File]:
    lasting = File.expires_at.is_(None) | (File.expires_at > now(session))
    return select(File).where(File.tenant_id == tenant_id, File.complete, lasting)
