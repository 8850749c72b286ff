"""The text log in Postgres: where its rows land, and what can be read off the disk."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from quire import testing
from quire.errors import UndecryptableError
from quire.ids import first_id_at
from quire.store import chunk
from quire.store.chunk import PARTITION, Position
from quire.testing import Place
from quire.textlog import read
from tests.integration import steps

MOMENT = datetime(2025, 3, 5, 12, tzinfo=UTC)  # a Wednesday; its week began on Monday the 3rd
WEEK = "chunks_20250303"


def make_partition(place: Place, moment: datetime) -> bool:
    with place.database.service() as session:
        return chunk.make_partition(session, moment)


def append(place: Place, job_id: UUID, offset: int = 0) -> None:
    row = {
        "job_id": job_id, "revision": 1, "offset": offset, "tenant_id": place.tenant.id, "tokens": 1, "body": b"",
    }  # fmt: skip
    with place.database.service() as session:
        chunk.append(session, [row])


def partition_of(place: Place, job_id: UUID) -> list[str]:
    """The partition of each row of a job."""
    query = text("SELECT tableoid::regclass::text FROM chunks WHERE job_id = :id")
    with place.database.service() as session:
        return list(session.scalars(query, {"id": job_id}))


@pytest.mark.parametrize(
    "moment",
    [MOMENT, datetime(2025, 3, 3, tzinfo=UTC), datetime(2025, 3, 9, 23, 59, 59, 999_000, tzinfo=UTC)],
    ids=["in the middle", "at the first moment", "at the last"],
)
def test_a_jobs_text_lands_in_the_partition_of_its_week(place: Place, moment: datetime) -> None:
    make_partition(place, MOMENT)
    job_id = first_id_at(moment)

    append(place, job_id)

    assert partition_of(place, job_id) == [WEEK]


@pytest.mark.parametrize("away", [-PARTITION, PARTITION])
def test_text_of_a_week_without_a_partition_is_caught_by_the_default_one(place: Place, away: timedelta) -> None:
    make_partition(place, MOMENT)
    job_id = first_id_at(MOMENT + away)

    append(place, job_id)

    assert partition_of(place, job_id) == ["chunks_default"]


def test_all_of_a_jobs_text_lies_in_one_partition_however_long_it_runs(place: Place) -> None:
    make_partition(place, MOMENT)
    make_partition(place, MOMENT + PARTITION)
    job_id = first_id_at(MOMENT)

    for offset in range(3):
        append(place, job_id, offset)

    assert partition_of(place, job_id) == [WEEK] * 3


def test_a_partition_is_made_once(place: Place) -> None:
    assert make_partition(place, MOMENT)

    assert not make_partition(place, MOMENT + timedelta(days=2))


def test_a_partition_made_late_takes_over_what_the_default_one_caught(place: Place) -> None:
    late, other = first_id_at(MOMENT), first_id_at(MOMENT + 2 * PARTITION)
    append(place, late)
    append(place, other)

    assert make_partition(place, MOMENT)

    assert (partition_of(place, late), partition_of(place, other)) == ([WEEK], ["chunks_default"])


def test_a_partition_has_the_key_that_makes_a_second_append_harmless(place: Place) -> None:
    make_partition(place, MOMENT)
    job_id = first_id_at(MOMENT)
    append(place, job_id)

    append(place, job_id)

    with place.database.service() as session:
        assert len(chunk.of_jobs(session, [job_id])[job_id]) == 1


def test_only_names_of_partitions_can_be_made(place: Place) -> None:
    parameters = {"name": "jobs; --", "lower": first_id_at(MOMENT), "upper": first_id_at(MOMENT + PARTITION)}

    with pytest.raises(DBAPIError, match="not the name of a partition"), place.database.service() as session:
        session.execute(chunk.MAKE_PARTITION, parameters)


# ---- reading -----------------------------------------------------------------------------------------------


def test_a_log_ends_where_its_last_row_does(place: Place) -> None:
    claimed = steps.running(place)
    steps.commit(place, steps.report(claimed, "Once ", at=Position(1, 0)))
    steps.commit(place, steps.report(claimed, "upon", at=Position(1, 5)))

    with place.database.service() as session:
        assert chunk.ends(session, [claimed.id]) == {claimed.id: Position(1, 9)}


def test_a_log_with_nothing_in_it_ends_at_the_start(place: Place) -> None:
    queued = steps.queued(place)

    with place.database.service() as session:
        assert chunk.ends(session, [queued.id]) == {queued.id: chunk.START}


def test_rows_are_read_in_the_order_of_their_offsets(place: Place) -> None:
    claimed = steps.running(place)
    later, sooner = steps.rows(claimed, "upon", Position(1, 5)), steps.rows(claimed, "Once ", Position(1, 0))

    with place.database.service() as session:
        chunk.append(session, later + sooner)

    assert steps.text_of(place, place.tenant, claimed.id) == "Once upon"


def test_bodies_that_changed_places_do_not_open(place: Place) -> None:
    claimed = steps.running(place)
    steps.commit(place, steps.report(claimed, "Once ", at=Position(1, 0)))
    steps.commit(place, steps.report(claimed, "upon", at=Position(1, 5)))
    swap = text('UPDATE chunks SET body = (SELECT body FROM chunks o WHERE o."offset" <> chunks."offset")')
    with place.database.service() as session:
        session.execute(swap)

    with place.database.service() as session:
        log = chunk.of_jobs(session, [claimed.id])[claimed.id]
    with pytest.raises(UndecryptableError):
        read(log, testing.data_key(place.tenant))


def test_a_body_moved_to_another_job_does_not_open(place: Place) -> None:
    claimed, other = steps.running(place), steps.running(place)
    steps.commit(place, steps.report(claimed, "Once "))
    with place.database.service() as session:
        session.execute(text("UPDATE chunks SET job_id = :other"), {"other": other.id})

    with place.database.service() as session:
        log = chunk.of_jobs(session, [other.id])[other.id]
    with pytest.raises(UndecryptableError):
        read(log, testing.data_key(place.tenant))


def tables_with(url: str, secret: str) -> list[str]:
    """The tables in which a text can be read, as characters or as bytes, by one who sees everything."""
    with psycopg.connect(url) as connection:
        tables = [
            name for (name,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        ]
        return [
            table
            for table in tables
            for (row,) in connection.execute(f"SELECT {table}::text FROM {table}")
            if secret in row or secret.encode().hex() in row
        ]


def test_no_table_holds_a_prompt_or_a_text_in_clear(place: Place, shared_url: str) -> None:
    secret = "a most unusual heron"
    claimed = steps.running(place, prompt=secret)
    steps.succeed(place, claimed, secret)

    assert tables_with(shared_url, secret) == []


@pytest.mark.parametrize(
    "change", ["UPDATE jobs SET error = to_jsonb(%s::text)", "UPDATE jobs SET body = %s::bytea"]
)
def test_the_search_for_clear_text_would_find_it(place: Place, shared_url: str, change: str) -> None:
    secret = "a most unusual heron"
    steps.queued(place)
    with psycopg.connect(shared_url) as connection:
        connection.execute(change, [secret])

    assert tables_with(shared_url, secret) == ["jobs"]
