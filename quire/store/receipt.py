"""Receipts: what is left of a deleted tenant beside its ledger."""

from datetime import datetime

from sqlalchemy import Index, select, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from quire.store.base import Base, Big, Created, Identifier


class Receipt(Base):
    __tablename__ = "tenant_receipts"
    __table_args__ = (Index("tenant_receipts_open", "created_at", postgresql_where=text("completed_at IS NULL")),)

    tenant_id: Mapped[Identifier]  # no foreign key: the tenant's row goes
    name: Mapped[str]
    request_id: Mapped[str]  # of the request that asked for it, as the API's log calls it
    key_fingerprint: Mapped[str | None]  # of the data key destroyed; null: it could not be opened any more
    keys: Mapped[int]  # API keys that were valid until then
    jobs: Mapped[Big] = mapped_column(server_default="0")  # removed so far
    chunks: Mapped[Big] = mapped_column(server_default="0")  # rows of text removed so far
    artifacts: Mapped[Big] = mapped_column(server_default="0")  # files removed so far
    created_at: Mapped[Created]  # when the data key was destroyed
    completed_at: Mapped[datetime | None]  # when the last row was removed


def lock_open(session: Session) -> Receipt | None:
    """The oldest deletion that nobody works at and that is not complete."""
    waiting = select(Receipt).where(Receipt.completed_at.is_(None)).order_by(Receipt.created_at).limit(1)
    return session.scalar(waiting.with_for_update(skip_locked=True))
