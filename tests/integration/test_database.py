"""Transactions: their time-outs, their roles, and what a failure leaves behind."""

from contextlib import suppress

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError

from quire.database import Database, copying
from quire.testing import Place
from tests.integration import steps


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("statement_timeout", "30s"),
        ("lock_timeout", "5s"),
        ("idle_in_transaction_session_timeout", "10s"),
        ("application_name", "test"),
    ],
)
def test_every_connection_has_its_time_outs_and_its_name(database: Database, name: str, value: str) -> None:
    with database.service() as session:
        assert session.scalar(text(f"SHOW {name}")) == value


def test_each_kind_of_transaction_has_its_role(place: Place) -> None:
    database, roles = place.database, []
    for begin in (database.service, lambda: database.tenant(place.tenant.id)):
        with begin() as session:
            roles.append(session.scalar(text("SELECT current_user")))
    roles.append(*(database.look_up("SELECT current_user") or ()))

    assert roles == ["quire_service", "quire_api", "quire_api"]


def test_a_look_up_that_fails_raises_what_a_transaction_would(database: Database) -> None:
    with pytest.raises(DBAPIError, match="division by zero"):
        database.look_up("SELECT 1 / 0")

    assert database.look_up("SELECT 1 AS one") == (1,)


def cut_off_in_a_copy(database: Database) -> None:
    with database.service() as session:
        pid = session.scalar(text("SELECT pg_backend_pid()"))
        session.execute(text("CREATE TEMPORARY TABLE numbers (n integer) ON COMMIT DROP"))
        with copying(session, "COPY numbers FROM STDIN"):
            url = database.engine.url.set(drivername="postgresql").render_as_string(False)
            with psycopg.connect(url) as other:
                other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])


def test_a_connection_that_breaks_in_a_copy_is_told_as_in_any_statement(database: Database) -> None:
    with pytest.raises(OperationalError):
        cut_off_in_a_copy(database)

    assert succeeds(database)


@pytest.mark.parametrize(("fresh", "failed"), [(0.0, 0), (3600.0, 1)])
def test_a_connection_that_broke_while_idle_is_replaced_unseen(
    database: Database, monkeypatch: pytest.MonkeyPatch, fresh: float, failed: int
) -> None:
    """One that broke just after it was used is not asked: it fails one transaction, and no other."""
    monkeypatch.setattr("quire.database.FRESH_SECONDS", fresh)
    with database.service() as session:
        pid = session.scalar(text("SELECT pg_backend_pid()"))
    with psycopg.connect(database.engine.url.set(drivername="postgresql").render_as_string(False)) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])

    outcomes = [succeeds(database) for _ in range(3)]

    assert outcomes.count(False) == failed


def succeeds(database: Database) -> bool:
    try:
        with database.service() as session:
            return session.scalar(text("SELECT 1")) == 1
    except DBAPIError:
        return False


def test_a_transaction_that_fails_writes_nothing(place: Place) -> None:
    with suppress(DBAPIError), place.database.service() as session:
        session.execute(text("UPDATE tenants SET weight = 7"))
        session.execute(text("SELECT 1 / 0"))

    with place.database.service() as session:
        assert session.scalar(text("SELECT weight FROM tenants")) == 1


def test_the_values_of_a_failed_statement_are_not_in_its_error(place: Place) -> None:
    with pytest.raises(DBAPIError) as failed, place.database.service() as session:
        session.execute(text("SELECT CAST(:value AS int)"), {"value": "heron"})

    assert "parameters hidden" in str(failed.value)


def test_what_was_read_can_be_used_after_the_transaction(place: Place) -> None:
    job = steps.job(place, steps.queued(place).id)

    assert job.priority == 0
