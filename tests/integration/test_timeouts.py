"""The time-outs of statements, locks and idle transactions are in force on every connection of every service."""

import ast
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import DBAPIError, OperationalError

from api.app import create_app
from quire import database as databases
from quire import testing
from quire.database import Database
from quire.settings import REPOSITORY, Settings
from quire.testing import MODEL, FakePublisher, Place
from tests.integration import steps
from tests.integration.test_service import WholeEngine
from tests.waiting import until
from worker.service import Service

EXPECTED = {
    "statement_timeout": "30s", "lock_timeout": "5s", "idle_in_transaction_session_timeout": "10s",
}  # fmt: skip
STATE = "SELECT state FROM pg_stat_activity WHERE pid = %s"


@pytest.fixture
def settings(postgres_url: str, redis_url: str) -> Settings:
    return Settings(
        database_url=testing.sqlalchemy_url(postgres_url),
        redis_url=redis_url,
        master_keys=testing.MASTER_KEYS,
        models={MODEL: "nowhere"},
    )


def in_force(database: Database) -> dict[str, str]:
    with database.service() as session:
        return {name: str(session.scalar(text(f"SHOW {name}"))) for name in EXPECTED}


def test_an_api_has_them(settings: Settings) -> None:
    app = create_app(settings, publisher=FakePublisher())
    assert in_force(app.extensions["quire"].database) == EXPECTED
    app.extensions["quire"].database.close()
    app.extensions["quire"].waiting.close()


def test_each_connection_of_a_worker_has_them(settings: Settings) -> None:
    service = Service(settings, WholeEngine())
    for database in service._databases.values():
        assert in_force(database) == EXPECTED
        database.close()


def test_nobody_connects_in_another_way() -> None:
    # A scheduler, a supervisor and whoever comes next: all through `Database`, which sets them.
    makers = set()
    for folder in ("api", "quire", "scheduler", "worker"):
        for path in (REPOSITORY / folder).rglob("*.py"):
            names = {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)}
            if "create_engine" in names:
                makers.add(path.relative_to(REPOSITORY))

    assert makers == {Path("quire/database.py")}


# ---- what they do --------------------------------------------------------------------------------------------


@pytest.fixture
def quick(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """A connection whose time-outs are a hundredth of what they are elsewhere."""
    monkeypatch.setattr(databases, "TIMEOUTS", databases.TIMEOUTS.replace("s -c", "0ms -c")[:-1] + "0ms")
    database = Database(settings.sqlalchemy_url, name="quick", pool_size=1)
    yield database
    database.close()


def test_a_statement_that_takes_too_long_is_ended(quick: Database) -> None:
    with pytest.raises(OperationalError, match="statement timeout"), quick.service() as session:
        session.execute(text("SELECT pg_sleep(60)"))


def test_a_lock_is_not_waited_for_too_long(place: Place, quick: Database) -> None:
    queued = steps.queued(place)
    lock = text("SELECT 1 FROM jobs WHERE id = :id FOR UPDATE")
    with place.database.service() as holder:
        holder.execute(lock, {"id": queued.id})

        with pytest.raises(OperationalError, match="lock timeout"), quick.service() as session:
            session.execute(lock, {"id": queued.id})


def test_a_transaction_that_does_nothing_is_ended(place: Place, quick: Database) -> None:
    with pytest.raises(DBAPIError, match="idle-in-transaction"):
        dream(place, quick)


def dream(place: Place, quick: Database) -> None:
    """Begin, do nothing until the connection is gone, and try to go on."""
    with quick.service() as session:
        pid = session.scalar(text("SELECT pg_backend_pid()"))
        until(lambda: gone(place, pid))
        session.execute(text("SELECT 1"))


def gone(place: Place, pid: int) -> bool:
    with place.database.service() as session:
        return session.execute(text("SELECT FROM pg_stat_activity WHERE pid = :pid"), {"pid": pid}).first() is None


def test_who_falls_silent_in_a_claim_or_a_commit_does_not_keep_its_locks(place: Place, postgres_url: str) -> None:
    # Postgres ends a transaction that is idle. Amid statements that are sent together it would never be.
    states: list[str] = []

    def look(connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        if "set_config" not in statement:  # which opens a transaction, and locks nothing
            pid = connection.connection.driver_connection.info.backend_pid  # type: ignore[union-attr]
            states.append(watcher.execute(STATE, [pid]).fetchall()[0][0])

    steps.many_queued(place, 2)
    worker = steps.worker(place)
    with psycopg.connect(postgres_url, autocommit=True) as watcher:
        event.listen(place.database.engine, "after_cursor_execute", look)
        first, second = steps.claim(place, worker, 2)
        steps.commit(place, steps.report(first, "Once "))
        steps.succeed(place, second, "The end.")
        steps.cancel(place, first.id)

    assert len(states) > 15
    assert set(states) == {"idle in transaction"}
