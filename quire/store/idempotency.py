"""Idempotency keys: which job a tenant's key made."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ForeignKey, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from quire.store.base import Base, Created


class IdempotencyKey(Base):
    __tablename__ = "idempotency_keys"

    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[bytes]  # keyed hash of route and body
    job_id: Mapped[UUID]  # no foreign key: a deleted job's key must not make a second one
    created_at: Mapped[Created] = mapped_column(index=True)


@dataclass(frozen=True)
class Earlier:
    """What the first request with a key left behind."""

    fingerprint: bytes
    job_id: UUID


# A second request waits here until the first commits; longer than this, and it is told to come back.
PATIENCE = text("SET LOCAL lock_timeout = '2s'")
ENTER = text("""
    INSERT INTO idempotency_keys (tenant_id, key, fingerprint, job_id)
    VALUES (:tenant, :key, :fingerprint, :job) ON CONFLICT DO NOTHING RETURNING job_id
""")
FIND = text("SELECT fingerprint, job_id FROM idempotency_keys WHERE tenant_id = :tenant AND key = :key")
PRUNE = text("""
    DELETE FROM idempotency_keys WHERE created_at < clock_timestamp() - make_interval(hours => :hours)
    RETURNING job_id
""")


def enter(session: Session, tenant_id: UUID, key: str, fingerprint: bytes, job_id: UUID) -> bool:
    """Take a key for a job; False if it is taken. Waits for a transaction that is taking it."""
    session.execute(PATIENCE)
    row = {"tenant": tenant_id, "key": key, "fingerprint": fingerprint, "job": job_id}
    return session.execute(ENTER, row).first() is not None


def find(session: Session, tenant_id: UUID, key: str) -> Earlier | None:
    """Return what a key has made; None if it is new."""
    found = session.execute(FIND, {"tenant": tenant_id, "key": key}).first()
    return Earlier(bytes(found.fingerprint), found.job_id) if found else None


def prune(session: Session, hours: int) -> int:
    return len(session.execute(PRUNE, {"hours": hours}).all())
