"""The roles that the migrations make belong to the whole server, so a fresh server is needed to see them made."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from sqlalchemy.engine import make_url

from quire import embedded, testing
from quire.database import Database
from tests.waiting import lock_waiters, until


@pytest.fixture(scope="module")
def fresh_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with embedded.postgres(tmp_path_factory.mktemp("roles"), durable=False) as server:
        yield server.url


@pytest.fixture
def no_roles(fresh_server: str) -> Iterator[str]:
    """The server without the roles, whatever a test before has made."""
    yield fresh_server
    with psycopg.connect(fresh_server, autocommit=True) as connection:
        left = connection.execute("SELECT datname FROM pg_database WHERE datname LIKE 'quire\\_%'").fetchall()
        for (name,) in left:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
        connection.execute("DROP ROLE IF EXISTS quire_api, quire_service, landlord")


def can_work(url: str) -> bool:
    """Whether a login can do what the services do."""
    database = Database(testing.sqlalchemy_url(url), name="test")
    place = testing.settle_in(database)
    with database.tenant(place.tenant.id) as session:
        testing.add_job(session, place.tenant)
    database.close()
    return True


def test_a_login_that_is_no_superuser_can_migrate_and_work(no_roles: str) -> None:
    # As on every managed Postgres.
    with psycopg.connect(no_roles, autocommit=True) as connection:
        connection.execute("CREATE ROLE landlord LOGIN CREATEROLE CREATEDB PASSWORD 'secret'")
    login = make_url(no_roles).set(username="landlord", password="secret", database="postgres")
    url = testing.create_database(login.render_as_string(hide_password=False))

    testing.migrate(url)

    assert can_work(url)


def test_a_migration_survives_that_another_database_makes_the_roles_meanwhile(no_roles: str) -> None:
    url = testing.create_database(no_roles)
    with ThreadPoolExecutor() as pool, psycopg.connect(no_roles) as other:
        other.execute("CREATE ROLE quire_api NOLOGIN")
        migration = pool.submit(testing.migrate, url)
        until(lambda: lock_waiters(url) == 1)
        other.commit()

        migration.result(timeout=30)

    assert can_work(url)


def test_a_second_database_uses_the_roles_that_are_there(no_roles: str) -> None:
    first, second = testing.create_database(no_roles), testing.create_database(no_roles)
    testing.migrate(first)

    testing.migrate(second)

    assert can_work(second)
