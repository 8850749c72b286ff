"""Schedulers that are killed in the middle of a transaction: one batch for each occurrence all the same."""

import signal
import subprocess
import sys
from datetime import UTC, datetime

import psycopg
from sqlalchemy import select, update

from quire import batches
from quire.schedules import firing
from quire.store import Batch, BatchItem, Occurrence
from quire.store.batch import BatchState
from quire.store.schedule import OccurrenceState
from quire.testing import Place
from tests.integration import test_schedules as schedules
from tests.waiting import until

# A scheduler that stops inside a transaction, says so, and waits for its end.
SCHEDULER = """
import sys
from quire import testing
from quire.asking.drafting import Catalogue
from quire.asking.tokenizing import Tokenizers
from quire.batches import Limits, taking
from quire.database import Database
from quire.schedules import firing, making

url, where = sys.argv[1:]
database = Database(testing.sqlalchemy_url(url), name="killed")
catalogue = Catalogue(Tokenizers(), configured=[testing.MODEL], default_model=testing.MODEL)
maker = making.Maker(database, testing.RING, catalogue, Limits(50_000, 100))

def stop():
    print("inside", flush=True)
    sys.stdin.read()

if where == "firing":
    with database.service() as session:
        assert firing.fire(session) == 5
        stop()
elif where == "slice":
    taking.PIECE = 1
    with database.service() as session:
        key = making._take(session)
    slices = maker.make(key)
    next(slices)
    stop()
else:
    start = making._start
    def stopping(*arguments):
        start(*arguments)
        stop()
        return True
    making._start = stopping
    maker.run(5)
"""


def killed_inside(url: str, where: str) -> None:
    command = [sys.executable, "-c", SCHEDULER, url, where]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as scheduler:
        try:
            assert scheduler.stdout
            assert scheduler.stdout.readline() == b"inside\n"
        finally:
            scheduler.kill()
    assert scheduler.returncode == -signal.SIGKILL
    until(lambda: not there(url))


def there(url: str) -> int:
    """How many of its connections Postgres still takes for open."""
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'killed'"
        ).fetchone()
    return row[0] if row else 0


def test_a_scheduler_killed_while_firing_leaves_one_batch_for_each_occurrence(
    place: Place, postgres_url: str
) -> None:
    for _ in range(5):
        schedules.add(place)

    killed_inside(postgres_url, "firing")

    assert schedules.count(place, Occurrence) == 0  # nothing of it was committed
    assert [schedules.fire(place), schedules.fire(place)] == [5, 0]
    assert [schedules.make(place), schedules.make(place)] == [5, 0]
    assert_each_has_one(place, 5)


def test_a_scheduler_killed_while_making_leaves_one_batch_for_each_occurrence(
    place: Place, postgres_url: str
) -> None:
    for _ in range(5):
        schedules.add(place)
    with place.database.service() as session:
        assert firing.fire(session) == 5

    killed_inside(postgres_url, "making")

    assert schedules.occurrences(place, OccurrenceState.STARTED) == []
    schedules.look_again(place)  # its lease is over
    assert schedules.make(place) == 5
    with place.database.service() as session:
        session.execute(
            update(Batch).where(Batch.state == "receiving").values(created_at=datetime(2020, 1, 1, tzinfo=UTC))
        )
    assert [forgotten(place) for _ in range(3)] == [1, 1, 0]  # what it had taken in: an item, and its batch
    assert_each_has_one(place, 5)


def test_a_scheduler_killed_between_slices_leaves_one_batch(place: Place, postgres_url: str) -> None:
    schedules.add(place, schedules.FIVE)
    assert schedules.fire(place) == 1

    killed_inside(postgres_url, "slice")

    assert schedules.count(place, BatchItem) == 1
    schedules.look_again(place)  # its lease is over
    assert [schedules.make(place), schedules.make(place)] == [1, 0]
    with place.database.service() as session:
        assert session.scalars(select(Batch.total).where(Batch.state == BatchState.RUNNING)).all() == [5]


def forgotten(place: Place) -> int:
    with place.database.service() as session:
        return batches.forget_received(session, 100)


def assert_each_has_one(place: Place, many: int) -> None:
    rows = schedules.occurrences(place, OccurrenceState.STARTED)
    with place.database.service() as session:
        running = session.scalars(select(Batch.id).where(Batch.state == BatchState.RUNNING)).all()
    assert len(rows) == len(running) == many
    assert {row.batch_id for row in rows} == set(running)
    assert schedules.count(place, Batch) == schedules.count(place, BatchItem) == many
