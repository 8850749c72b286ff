"""Tenants and their API keys."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, Session, mapped_column
from sqlalchemy.types import Text

from quire.crypto import WrappedKey
from quire.quotas import Quotas
from quire.store.base import Base, Created, Identifier


class Tenant(Base):
    __tablename__ = "tenants"
    __table_args__ = (
        CheckConstraint("weight > 0", name="weight"),
        CheckConstraint("max_running > 0", name="max_running"),
        CheckConstraint("max_queued > 0", name="max_queued"),
        CheckConstraint("max_tokens_per_day > 0", name="max_tokens_per_day"),
        CheckConstraint("max_requests_per_minute > 0", name="max_requests_per_minute"),
        CheckConstraint("retention_days > 0", name="retention_days"),
        CheckConstraint("deleted_at IS NULL OR suspended_at IS NOT NULL", name="deleted_is_suspended"),
        Index("tenants_suspended", "id", postgresql_where=text("suspended_at IS NOT NULL")),
    )

    id: Mapped[Identifier]
    name: Mapped[str] = mapped_column(unique=True)
    weight: Mapped[float] = mapped_column(server_default="1")  # share of tokens against other tenants
    max_running: Mapped[int | None]  # jobs at once, in each model's lane; null: no cap
    max_queued: Mapped[int] = mapped_column(server_default="100000")
    max_tokens_per_day: Mapped[int | None] = mapped_column(BigInteger)  # billed and reserved; null: no limit
    max_requests_per_minute: Mapped[int | None]  # null: no limit
    paused: Mapped[bool] = mapped_column(server_default="false")  # nothing of it is claimed
    retention_days: Mapped[int | None]  # of finished jobs; null: the server's setting
    master_key: Mapped[str]  # the name of the master key that wraps data_key
    data_key: Mapped[bytes]
    created_at: Mapped[Created]
    suspended_at: Mapped[datetime | None]  # its keys are refused, nothing of it is claimed
    deleted_at: Mapped[datetime | None]  # its data key is destroyed; the scheduler removes what is left

    @property
    def wrapped_key(self) -> WrappedKey:
        return WrappedKey(self.master_key, self.data_key)

    @property
    def quotas(self) -> Quotas:
        return Quotas(self.max_queued, self.max_tokens_per_day)


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
FIND_KEY = "SELECT * FROM find_api_key(%(prefix)s)"  # for Database.look_up


def not_on_master_key(session: Session, name: str, limit: int) -> list[Tenant]:
    """Tenants whose data key is wrapped by another master key than this one, locked for re-wrapping."""
    stale = select(Tenant).where(Tenant.master_key != name, Tenant.deleted_at.is_(None))
    statement = stale.order_by(Tenant.id).limit(limit).with_for_update(key_share=True, skip_locked=True)
    return list(session.scalars(statement))


def locked(session: Session, tenant_id: UUID) -> Tenant | None:
    """One tenant, locked against other changes; those who only refer to it do not wait."""
    return session.get(Tenant, tenant_id, with_for_update={"key_share": True}, populate_existing=True)


REVOKE_ALL = text("""
    UPDATE api_keys SET revoked_at = clock_timestamp() WHERE tenant_id = :tenant AND revoked_at IS NULL
    RETURNING id
""")


def revoke_keys(session: Session, tenant_id: UUID) -> int:
    """Revoke all keys of a tenant; returns how many were valid until now."""
    return len(session.execute(REVOKE_ALL, {"tenant": tenant_id}).all())


SAMPLES = text("""
    SELECT id, master_key, data_key FROM (
        SELECT id, master_key, data_key, row_number() OVER (PARTITION BY master_key ORDER BY id) AS number
        FROM tenants WHERE deleted_at IS NULL) AS numbered
    WHERE number <= :each ORDER BY master_key, id
""")


def samples(session: Session, each: int) -> list[tuple[UUID, WrappedKey]]:
    """Some tenants of each master key in use, with their wrapped keys."""
    rows = session.execute(SAMPLES, {"each": each})
    return [(row.id, WrappedKey(row.master_key, bytes(row.data_key))) for row in rows]
