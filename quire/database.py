"""Transactions on Postgres, each under one of two roles.

A tenant's transaction runs as `quire_api`, where row-level security shows that tenant's rows alone: the second
wall behind the tenant predicate of every query. A service's runs as `quire_service`, which sees all.
Both roles are made by the migrations; the login of the URL must be a member of them.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import psycopg
from psycopg.abc import QueryNoTemplate
from psycopg.rows import namedtuple_row
from sqlalchemy import Dialect, Engine, create_engine, event, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

# An idle reader's old snapshot makes claims slow; a lock waited for too long is better refused. A worker that
# hangs or is cut off in the middle of a claim holds up every claim of its model for as long as it may be idle.
TIMEOUTS = "-c statement_timeout=30s -c lock_timeout=5s -c idle_in_transaction_session_timeout=10s"

# What each process may open at most: docs/operations.md states it, `quire doctor` adds it up.
API_CONNECTIONS = 16  # requests are short and waiters hold none, so a few serve all threads
WORKER_CONNECTIONS = 3  # heartbeat, claimer, writer
SCHEDULER_CONNECTIONS = 2

FRESH_SECONDS = 1.0  # a connection that was in use so short a time ago is taken to work still

AS_ROLE = text("SELECT set_config('role', :role, true), set_config('quire.tenant', :tenant, true)")
AS_VISITOR = "SELECT set_config('role', 'quire_api', true), set_config('quire.tenant', '', true)"
PATIENCE = text("SELECT set_config('statement_timeout', :milliseconds, true)")


@contextmanager
def _together(raw: object, dialect: Dialect) -> Iterator["psycopg.Connection[Any]"]:
    """Send the statements of this block together and wait once, at its end.

    For statements that lock nothing: until the end has come Postgres takes the transaction for busy, not for
    idle, so a process that is stopped in between would keep its locks for as long as it is stopped.
    """
    if not isinstance(raw, psycopg.Connection):
        raise TypeError(f"{type(raw)} cannot send statements together")
    with _as_sqlalchemys(dialect), raw.pipeline():
        yield raw


@contextmanager
def copying(session: Session, statement: QueryNoTemplate) -> "Iterator[psycopg.Copy]":
    """COPY rows within a transaction. Its troubles are told as those of all other statements are."""
    raw = session.connection().connection.driver_connection
    if not isinstance(raw, psycopg.Connection):
        raise TypeError(f"{type(raw)} has no COPY")
    with (
        _as_sqlalchemys(session.get_bind().dialect),
        raw.cursor() as cursor,
        cursor.copy(statement) as copy,
    ):
        yield copy


@contextmanager
def _as_sqlalchemys(dialect: Dialect) -> Iterator[None]:
    """Raise psycopg's errors as the errors that SQLAlchemy makes of them."""
    try:
        yield
    except psycopg.Error as error:
        raise DBAPIError.instance(
            None, None, error, psycopg.Error, hide_parameters=True, dialect=dialect
        ) from error


class Database:
    """The connections of one process. Transactions belong to use cases: begin one, do the work, leave."""

    def __init__(self, url: str, *, name: str, pool_size: int = 5, connect_timeout: int = 5) -> None:
        self.engine: Engine = create_engine(
            url,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=5,
            hide_parameters=True,  # values of a failed statement do not belong in a log
            connect_args={
                "application_name": name,
                "options": TIMEOUTS,
                "connect_timeout": connect_timeout,
                # A cut cable must not hold a heartbeat for the kernel's quarter of an hour.
                "keepalives_idle": 5,
                "keepalives_interval": 2,
                "keepalives_count": 3,
                "tcp_user_timeout": 10_000,
            },
        )
        _ask_the_idle(self.engine)

    @contextmanager
    def tenant(self, tenant_id: UUID) -> Iterator[Session]:
        """One transaction that sees this tenant's rows only."""
        with self._begin("quire_api", str(tenant_id)) as session:
            yield session

    def look_up(self, statement: QueryNoTemplate, **values: object) -> Any | None:
        """Return the first row of one statement before the tenant is known, or None, in one round trip.

        It sees no tenant's rows, and may look up a key. `statement`: in psycopg's own form.
        """
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            with _together(connection.connection.driver_connection, connection.dialect) as raw:
                raw.execute(AS_VISITOR)  # without BEGIN, what is sent together is one transaction
                cursor = raw.cursor(row_factory=namedtuple_row).execute(statement, values)
            return cursor.fetchone()

    @contextmanager
    def service(self) -> Iterator[Session]:
        """One transaction of a worker, a scheduler or the operator."""
        with self._begin("quire_service") as session:
            yield session

    @contextmanager
    def snapshot(self, *, seconds: float) -> Iterator[Session]:
        """One transaction that only reads and sees one moment throughout; a statement may take so many seconds."""
        still = self.engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with self._begin("quire_service", engine=still) as session:
            session.execute(PATIENCE, {"milliseconds": str(int(seconds * 1000))})
            yield session

    @contextmanager
    def _begin(self, role: str, tenant: str = "", engine: Engine | None = None) -> Iterator[Session]:
        with Session(engine or self.engine, expire_on_commit=False) as session, session.begin():
            with _together(session.connection().connection.driver_connection, session.get_bind().dialect):
                # With the BEGIN before it.
                session.execute(AS_ROLE, {"role": role, "tenant": tenant})
            yield session

    def close(self) -> None:
        self.engine.dispose()


def _ask_the_idle(engine: Engine) -> None:
    """Have connections that were idle for a while asked whether they still work, before they are used.

    One that broke in its last second fails the transaction that gets it, and takes the whole pool along.
    """

    def put_back(_raw: object, record: ConnectionPoolEntry) -> None:
        record.info["idle_since"] = time.monotonic()

    def take(raw: DBAPIConnection, record: ConnectionPoolEntry, _proxy: object) -> None:
        idle_since = record.info.get("idle_since")  # none: it was opened just now
        if idle_since is None or time.monotonic() - idle_since < FRESH_SECONDS:
            return
        try:
            engine.dialect.do_ping(raw)
        except psycopg.Error as error:
            raise DisconnectionError from error  # and the pool opens another

    event.listen(engine, "checkin", put_back)
    event.listen(engine, "checkout", take)
