"""A disk that is full while jobs run: submits are refused, running text waits in memory, and all goes on after."""

import os
import secrets
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from api.app import create_app
from quire import testing
from quire.database import Database
from quire.messages import Notices
from quire.settings import Settings
from quire.store.job import State
from quire.testing import MODEL, FakePublisher, Place
from tests.contract.client import Api, add_key, problem
from tests.integration import steps
from tests.integration.test_service import WholeEngine
from tests.waiting import until
from worker.service import Service

MOUNT_MB = 48
SUBMISSIONS = 2_000  # of 50 kB each, more than ever fit

Start = Callable[[WholeEngine], Service]


def settings_for(url: str, redis_url: str) -> Settings:
    return Settings(
        database_url=testing.sqlalchemy_url(url),
        redis_url=redis_url,
        master_keys=testing.MASTER_KEYS,
        models={MODEL: "nowhere"},
        flush_seconds=0.05,
        idle_look_seconds=0.02,
        heartbeat_seconds=0.05,
    )


@contextmanager
def working(url: str, redis_url: str, engine: WholeEngine) -> Iterator[None]:
    service = Service(settings_for(url, redis_url), engine)
    service.start()
    try:
        yield
    finally:
        service.stop()


@contextmanager
def no_room_for(database: Database, table: str) -> Iterator[None]:
    """Every write to a table is refused as Postgres refuses it when the disk is full."""
    with database.engine.begin() as connection:
        connection.execute(
            text("""
            CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE EXCEPTION 'No space left on device' USING ERRCODE = 'disk_full'; END $$
        """)
        )
        connection.execute(
            text(f"CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON {table} EXECUTE FUNCTION refuse()")
        )
    try:
        yield
    finally:
        with database.engine.begin() as connection:
            connection.execute(text(f"DROP TRIGGER refuse ON {table}"))


def refusals(caplog: pytest.LogCaptureFixture) -> int:
    return sum(getattr(record, "action", "") == "flush_failed" for record in caplog.records)


@pytest.mark.parametrize("table", ["chunks", "jobs"])
def test_text_waits_in_memory_while_nothing_can_be_stored(
    place: Place,
    postgres_url: str,
    redis_url: str,
    table: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("worker.writer.RETRY_SECONDS", 0.01)
    engine = WholeEngine(lambda _: "Hello World", waits=True)
    with working(postgres_url, redis_url, engine):
        queued = steps.queued(place)
        until(lambda: engine.sequences)
        with no_room_for(place.database, table):
            engine.finish(engine.sequences[0])
            until(lambda: refusals(caplog) > 3)
            assert steps.job(place, queued.id).state == State.RUNNING

        until(lambda: steps.job(place, queued.id).state == State.SUCCEEDED)

    assert steps.text_of(place, place.tenant, queued.id) == "Hello World"
    assert steps.job(place, queued.id).attempts == 0


# ---- on a real file system that is full --------------------------------------------------------------------


class SmallDisk:
    """A file system of its own with room for a few thousand rows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / "filler"

    def fill(self) -> None:
        """Leave no block free."""
        with self._filler.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                return

    def free(self) -> None:
        self._filler.unlink()


@pytest.fixture
def disk() -> Iterator[SmallDisk]:
    path = Path(tempfile.mkdtemp(prefix="quire-disk-"))
    path.chmod(0o755)  # Postgres may run as another user
    command = ["mount", "-t", "tmpfs", "-o", f"size={MOUNT_MB}m", "quire-test", str(path)]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        done = None
    if done is None or done.returncode:
        path.rmdir()
        pytest.skip("a file system cannot be mounted here; the tests with triggers stand for it")
    yield SmallDisk(path)
    subprocess.run(["umount", "--lazy", str(path)], check=True)
    path.rmdir()


@pytest.fixture
def small_url(disk: SmallDisk, postgres_server: str, template: str) -> Iterator[str]:
    """A migrated database whose tables lie on the small disk."""
    if os.environ.get("QUIRE_TEST_DATABASE_URL"):
        pytest.skip("the server given may be on another machine")
    name = f"quire_{secrets.token_hex(6)}"
    place = disk.path / "tablespace"
    place.mkdir()
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        data = Path(connection.execute("SHOW data_directory").fetchone()[0])
        os.chown(place, data.stat().st_uid, data.stat().st_gid)
        connection.execute(f"CREATE TABLESPACE {name} LOCATION '{place}'")
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} TABLESPACE {name} STRATEGY FILE_COPY")
    url = make_url(postgres_server).set(database=name).render_as_string(hide_password=False)
    yield url
    testing.drop_database(postgres_server, url)
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"DROP TABLESPACE {name}")


def counts(database: Database) -> dict[str, int]:
    with database.service() as session:
        tables = ("jobs", "ledger", "idempotency_keys")
        return {table: session.scalar(text(f"SELECT count(*) FROM {table}")) for table in tables}


def test_a_full_disk_refuses_submits_and_is_forgotten_when_there_is_room(
    disk: SmallDisk, small_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.writer.RETRY_SECONDS", 0.05)
    with ExitStack() as stack:
        database = Database(testing.sqlalchemy_url(small_url), name="test", pool_size=20)
        stack.callback(database.close)
        place = testing.settle_in(database)
        notices = Notices(redis_url)
        stack.callback(notices.close)
        settings = settings_for(small_url, redis_url)
        app = create_app(settings, database=database, publisher=FakePublisher(), notices=notices)
        stack.callback(app.extensions["quire"].waiting.close)
        api = Api(app, add_key(database, place.tenant))
        engine = WholeEngine(lambda _: "x" * 100, waits=True)
        stack.enter_context(working(small_url, redis_url, engine))

        # given a job that runs, on a disk on which nothing is left
        running = api.submitted(max_tokens=16)
        until(lambda: engine.sequences)
        disk.fill()

        # when submits go on until one is refused
        accepted = 1
        for number in range(SUBMISSIONS):
            answer = api.submit(metadata={"x": secrets.token_hex(250)}, headers={"Idempotency-Key": str(number)})
            if answer.status_code != 202:
                break
            accepted += 1
        problem(answer, 503, "storage_full")
        refused = str(number)

        # then nothing of the refused one is stored, reading goes on, and the running job loses nothing
        stored = counts(database)
        assert stored == {"jobs": accepted, "ledger": accepted, "idempotency_keys": accepted - 1}
        assert api.job(running["id"])["state"] == "running"
        engine.finish(engine.sequences[0])

        # and with room again everything goes on without help
        disk.free()
        until(lambda: api.job(running["id"])["state"] == "succeeded")
        assert api.job(running["id"])["output"]["pieces"][0]["text"] == "x" * 100
        again = api.submit(metadata={"x": "y"}, headers={"Idempotency-Key": refused})
        assert again.status_code == 202
        assert "Idempotent-Replayed" not in again.headers
        assert counts(database)["jobs"] == accepted + 1
