"""Workers and their leases. A worker is alive while its row stands and the lease in it has not run out."""

from uuid import UUID

from sqlalchemy import Connection, ForeignKey, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from quire.store.base import Base, Created, Identifier, Moment


class Worker(Base):
    __tablename__ = "workers"

    id: Mapped[Identifier]
    model: Mapped[str] = mapped_column(ForeignKey("models.name"), index=True)
    host: Mapped[str]
    pid: Mapped[int]
    slots: Mapped[int]
    numerics: Mapped[str | None]
    draining: Mapped[bool] = mapped_column(server_default="false")
    lease_until: Mapped[Moment]
    started_at: Mapped[Created]


# clock_timestamp(), never now(): now() is the start of the transaction, which may have waited.
ENTER = text("""
    INSERT INTO workers (id, model, host, pid, slots, numerics, lease_until)
    VALUES (:id, :model, :host, :pid, :slots, :numerics, clock_timestamp() + make_interval(secs => :lease))
""")
RENEW = text("""
    UPDATE workers SET lease_until = clock_timestamp() + make_interval(secs => :lease), draining = :draining
    WHERE id = :id RETURNING id
""")
LEAVE = text("DELETE FROM workers WHERE id = :id")
EXPIRE = text("DELETE FROM workers WHERE host = :host AND pid = :pid")
# One that hangs in the middle of a claim holds its row until its transaction is ended: the others need not wait.
DELETE_LAPSED = text("""
    DELETE FROM workers WHERE id IN (
        SELECT id FROM workers WHERE lease_until < clock_timestamp() FOR UPDATE SKIP LOCKED)
    RETURNING id
""")
UPTIME = text("SELECT extract(epoch FROM clock_timestamp() - pg_postmaster_start_time())")


def expire(connection: Connection, *, host: str, pid: int) -> None:
    """End the lease of a worker that is known to be dead, instead of waiting for it to lapse."""
    connection.execute(EXPIRE, {"host": host, "pid": pid})


def delete_lapsed(session: Session) -> list[UUID]:
    return list(session.scalars(DELETE_LAPSED))


def postgres_uptime(session: Session) -> float:
    """Seconds since Postgres started."""
    return float(session.scalar(UPTIME) or 0)
