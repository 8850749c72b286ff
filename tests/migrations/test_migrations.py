"""The migrations make exactly what the models describe, from any point, and by any number of migrators."""

import subprocess
import sys
from collections.abc import Iterator

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from quire import testing
from quire.settings import REPOSITORY
from quire.store import Base
from tests.waiting import lock_waiters, until

MIGRATE = "import sys; from quire import testing; testing.migrate(sys.argv[1])"


@pytest.fixture
def empty_url(postgres_server: str) -> Iterator[str]:
    """A database with nothing in it."""
    url = testing.create_database(postgres_server)
    yield url
    testing.drop_database(postgres_server, url)


def scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(Config(REPOSITORY / "alembic.ini"))


def revisions() -> list[str]:
    """From the first to the last."""
    return [script.revision for script in reversed(list(scripts().walk_revisions()))]


def revision_of(url: str) -> str:
    with psycopg.connect(url) as connection:
        (row,) = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    return row[0]


def schema_of(url: str) -> list[tuple]:
    """Every column, index, policy and grant."""
    with psycopg.connect(url) as connection:
        return connection.execute("""
            SELECT 'column', table_name::text, column_name::text, data_type::text || coalesce(column_default, '')
                FROM information_schema.columns WHERE table_schema = 'public'
            UNION ALL SELECT 'index', tablename::text, indexname::text, indexdef FROM pg_indexes
                WHERE schemaname = 'public'
            UNION ALL SELECT 'policy', tablename::text, policyname::text, coalesce(qual, '') FROM pg_policies
            UNION ALL SELECT 'grant', table_name::text, grantee::text, privilege_type::text
                FROM information_schema.role_table_grants WHERE table_schema = 'public'
            ORDER BY 1, 2, 3, 4
        """).fetchall()


def test_there_is_one_head() -> None:
    assert scripts().get_heads() == [revisions()[-1]]


def test_the_migrations_make_what_the_models_describe(postgres_url: str) -> None:
    config = Config(REPOSITORY / "alembic.ini")
    config.attributes["url"] = testing.sqlalchemy_url(postgres_url)

    command.check(config)  # raises if a migration is missing


def test_server_defaults_and_types_are_those_of_the_models(postgres_url: str) -> None:
    engine = create_engine(testing.sqlalchemy_url(postgres_url))
    options = {
        "compare_type": True,
        "compare_server_default": True,
        "include_name": lambda name, kind, _: kind != "table" or not name.startswith("chunks_"),
    }
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts=options)

        assert compare_metadata(context, Base.metadata) == []
    engine.dispose()


def test_the_comparison_would_notice_a_missing_column(postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        connection.execute("ALTER TABLE jobs DROP COLUMN compact CASCADE")
    config = Config(REPOSITORY / "alembic.ini")
    config.attributes["url"] = testing.sqlalchemy_url(postgres_url)

    with pytest.raises(Exception, match="compact"):
        command.check(config)


def test_each_revision_upgrades_from_the_one_before(empty_url: str) -> None:
    reached = []
    for revision in revisions():
        testing.migrate(empty_url, revision)
        reached.append(revision_of(empty_url))

    assert reached == revisions()


def test_step_by_step_makes_the_same_schema_as_all_at_once(empty_url: str, postgres_url: str) -> None:
    for revision in revisions():
        testing.migrate(empty_url, revision)

    assert schema_of(empty_url) == schema_of(postgres_url)


def test_migrating_twice_changes_nothing(postgres_url: str) -> None:
    before = schema_of(postgres_url)

    testing.migrate(postgres_url)

    assert schema_of(postgres_url) == before


def test_two_migrators_at_once_both_succeed(empty_url: str) -> None:
    # Held until both stand before it, so that they set off together.
    with psycopg.connect(empty_url, autocommit=True) as starter:
        starter.execute("SELECT pg_advisory_lock(4711)")
        migrators = [subprocess.Popen([sys.executable, "-c", MIGRATE, empty_url]) for _ in range(2)]
        until(lambda: lock_waiters(empty_url) == 2)
        starter.execute("SELECT pg_advisory_unlock(4711)")

    assert [migrator.wait(timeout=30) for migrator in migrators] == [0, 0]
    assert revision_of(empty_url) == revisions()[-1]
