"""One database for all tests here, emptied before each: a copy for each costs more than most tests do."""

from collections.abc import Iterator

import psycopg
import pytest

from quire import testing

# Foreign keys are checked by triggers, which a replica does not run.
EMPTY = """
DO $$
DECLARE name text;
BEGIN
    PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend';
    SET LOCAL session_replication_role = replica;
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
        IF name ~ '^chunks_[0-9]+$' THEN
            EXECUTE format('DROP TABLE %I', name);
        ELSIF name <> 'alembic_version' THEN
            EXECUTE format('DELETE FROM %I', name);
        END IF;
    END LOOP;
END $$
"""


@pytest.fixture(scope="session")
def shared_url(postgres_server: str, template: str) -> Iterator[str]:
    url = testing.create_database(postgres_server, template=template)
    yield url
    testing.drop_database(postgres_server, url)


@pytest.fixture
def postgres_url(shared_url: str) -> str:
    """A migrated database with no rows in it."""
    with psycopg.connect(shared_url) as connection:
        connection.execute(EMPTY)
    return shared_url
