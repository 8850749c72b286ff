"""A Postgres that has no room, or takes no writes: refused with a clear problem, and nothing half-written."""

from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from quire import jobs
from quire.database import Database
from quire.store import Job
from quire.testing import Place
from tests.contract.client import Api, problem

FULL = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$
"""
TABLES = ("jobs", "ledger", "idempotency_keys", "lanes")


@pytest.fixture(params=TABLES)
def full(request: pytest.FixtureRequest, place: Place) -> str:
    """No row of one table finds room; returns what gives it room again."""
    with place.database.engine.begin() as connection:
        connection.execute(text(FULL))
        connection.execute(
            text(f"CREATE TRIGGER refuse BEFORE INSERT ON {request.param} FOR EACH ROW EXECUTE FUNCTION refuse()")
        )
    return f"DROP TRIGGER refuse ON {request.param}"


def rows(database: Database) -> dict[str, int]:
    with database.service() as session:
        return {table: session.scalar(text(f"SELECT count(*) FROM {table}")) for table in TABLES}


def test_a_full_disk_refuses_a_submission_and_stores_nothing_of_it(api: Api, place: Place, full: str) -> None:
    answer = api.submit(headers={"Idempotency-Key": "once"})

    problem(answer, 503, "storage_full")
    assert answer.headers["Retry-After"] == "30"
    assert rows(place.database) == dict.fromkeys(TABLES, 0)


def test_the_same_request_succeeds_once_there_is_room(api: Api, place: Place, full: str) -> None:
    problem(api.submit(headers={"Idempotency-Key": "once"}), 503, "storage_full")
    with place.database.engine.begin() as connection:
        connection.execute(text(full))

    answer = api.submit(headers={"Idempotency-Key": "once"})

    assert answer.status_code == 202
    assert "Idempotent-Replayed" not in answer.headers
    assert rows(place.database) == dict.fromkeys(TABLES, 1)


def test_jobs_can_be_read_while_the_disk_is_full(api: Api, place: Place) -> None:
    job = api.submitted()
    with place.database.engine.begin() as connection:
        connection.execute(text(FULL))
        connection.execute(
            text("CREATE TRIGGER refuse BEFORE INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION refuse()")
        )
    problem(api.submit(), 503, "storage_full")

    assert api.job(job["id"])["state"] == "queued"


def test_a_database_that_takes_no_writes_says_so_and_can_be_read(
    api: Api, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = api.submitted()
    submit = jobs.submit

    def on_a_standby(session: Session, *arguments: Any, **options: Any) -> Job:
        session.execute(text("SET TRANSACTION READ ONLY"))
        return submit(session, *arguments, **options)

    monkeypatch.setattr(jobs, "submit", on_a_standby)

    problem(api.submit(), 503, "read_only")
    assert api.job(job["id"])["state"] == "queued"
