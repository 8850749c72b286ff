"""Tenants and their API keys."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, Session, mapped_column
from sqlalchemy.types import Text

from quire.crypto import WrappedKey
from quire.store.base import Base, Created, Identifier


class Tenant(Base):
    __tablename__ = "tenants"
    __table_args__ = (
        CheckConstraint("weight > 0", name="weight"),
        CheckConstraint("max_running > 0", name="max_running"),
        CheckConstraint("max_queued > 0", name="max_queued"),
    )

    id: Mapped[Identifier]
    name: Mapped[str] = mapped_column(unique=True)
    weight: Mapped[float] = mapped_column(server_default="1")  # share of tokens against other tenants
    max_running: Mapped[int | None]  # jobs at once, in each model's lane; null: no cap
    max_queued: Mapped[int] = mapped_column(server_default="100000")
    paused: Mapped[bool] = mapped_column(server_default="false")  # nothing of it is claimed
    master_key: Mapped[str]  # the name of the master key that wraps data_key
    data_key: Mapped[bytes]
    created_at: Mapped[Created]

    @property
    def wrapped_key(self) -> WrappedKey:
        return WrappedKey(self.master_key, self.data_key)


class ApiKey(Base):
    __tablename__ = "api_keys"

    id: Mapped[Identifier]
    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("tenants.id", ondelete="CASCADE"), index=True)
    name: Mapped[str | None]
    prefix: Mapped[str] = mapped_column(unique=True)  # the part that may be shown
    secret_hash: Mapped[bytes]  # SHA-256 of the whole key, which carries 256 random bits
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    created_at: Mapped[Created]
    revoked_at: Mapped[datetime | None]


# The one read that happens before a tenant is known; the function is the only way past row-level security.
FIND_KEY = text("SELECT id, tenant_id, secret_hash, scopes, revoked_at FROM find_api_key(:prefix)")


def not_on_master_key(session: Session, name: str, limit: int) -> list[Tenant]:
    """Tenants whose data key is wrapped by another master key than this one, locked for re-wrapping."""
    statement = select(Tenant).where(Tenant.master_key != name).order_by(Tenant.id).limit(limit)
    return list(session.scalars(statement.with_for_update(skip_locked=True)))
