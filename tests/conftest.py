"""A real Postgres and a real Valkey for every test that asks, and a fresh migrated database for each."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from sqlalchemy.engine import make_url

from quire import testing
from quire.database import Database
from quire.testing import Place

# Without a GPU, Triton's kernels run through its interpreter. It must be told before its first import, which
# may be that of transformers in any test.
if not Path("/dev/nvidiactl").exists():
    os.environ.setdefault("TRITON_INTERPRET", "1")

# A shell that starts something in the background has it ignore Ctrl-C, and children inherit that; the tests that
# interrupt their children must not depend on how they were started themselves.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a server on which databases may be made: QUIRE_TEST_DATABASE_URL, or an embedded one."""
    if given := os.environ.get("QUIRE_TEST_DATABASE_URL"):
        yield given
        return
    from quire import embedded

    with embedded.postgres(tmp_path_factory.mktemp("postgres"), durable=False) as server:
        yield server.url


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if given := os.environ.get("QUIRE_TEST_REDIS_URL"):
        yield given
        return
    from quire import embedded

    with embedded.valkey(tmp_path_factory.mktemp("valkey"), durable=False) as server:
        yield server.url


@pytest.fixture(scope="session")
def template(postgres_server: str) -> str:
    """Name of a migrated database, to be copied."""
    url = testing.create_database(postgres_server)
    testing.migrate(url)
    return str(make_url(url).database)


@pytest.fixture
def postgres_url(postgres_server: str, template: str) -> Iterator[str]:
    """A migrated database of this test's own."""
    url = testing.create_database(postgres_server, template=template)
    yield url
    testing.drop_database(postgres_server, url)


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """The Redis server, emptied."""
    with Redis.from_url(redis_server) as client:
        client.flushall()
    return redis_server


@pytest.fixture
def database(postgres_url: str) -> Iterator[Database]:
    database = Database(testing.sqlalchemy_url(postgres_url), name="test", pool_size=20)
    yield database
    database.close()


@pytest.fixture
def place(database: Database) -> Place:
    """A tenant and a model."""
    return testing.settle_in(database)


@pytest.fixture
def checkpoint() -> Path:
    return testing.checkpoint_folder()
