"""Runs the migrations, one transaction each, under short lock time-outs.

A migration that cannot get its lock gives up rather than making every query behind it wait.
"""

from alembic import context
from sqlalchemy import create_engine, pool, text

from quire.settings import DatabaseSettings
from quire.store import Base


def _url() -> str:
    """The URL a caller passed in, or the operator's."""
    given = context.config.attributes.get("url")
    return str(given) if given else DatabaseSettings().sqlalchemy_url


def include_name(name: str | None, type_: str, _parents: object) -> bool:
    """Leave out the partitions of the text log: they are made as time goes, not by migrations."""
    return not (type_ == "table" and name is not None and name.startswith("chunks_"))


def run() -> None:
    engine = create_engine(_url(), poolclass=pool.NullPool)
    with engine.connect() as connection:
        # Two migrators at once: the second waits here, then finds nothing left to do. The lock is the session's,
        # because each migration commits; it is freed with the connection. No query stands behind this wait, so
        # it may take as long as all the migrations of another.
        connection.execute(text("SET lock_timeout = '10min'"))
        connection.execute(text("SELECT pg_advisory_lock(4711)"))
        connection.execute(text("SET lock_timeout = '5s'"))
        connection.commit()
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            include_name=include_name,
            transaction_per_migration=True,
        )
        with context.begin_transaction():
            context.run_migrations()
    engine.dispose()


run()
