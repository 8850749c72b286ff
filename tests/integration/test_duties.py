"""The scheduler as it is put together: every duty runs, and one round of them brings things forward."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from quire import testing
from quire.settings import Settings
from quire.store.job import State
from quire.testing import MODEL, Place
from scheduler.loop import Duty, Loop
from scheduler.main import duties
from tests.integration import steps

NAMES = [
    "release", "expire", "reap", "fire", "plan", "make_batches", "batches", "overdue_batches", "webhooks",
    "old_webhooks", "old_occurrences", "top_up", "accounts", "forecast", "compact", "partitions", "suspend",
    "hold_books", "release_books", "erase", "retention", "old_batches", "old_files", "rewrap", "idempotency",
]  # fmt: skip


@pytest.fixture
def settings(postgres_url: str, redis_url: str) -> Settings:
    return Settings(
        database_url=testing.sqlalchemy_url(postgres_url),
        redis_url=redis_url,
        master_keys=testing.MASTER_KEYS,
        models={MODEL: "nowhere"},
        retention_days=30,
    )


@pytest.fixture
def all_duties(settings: Settings, place: Place) -> dict[str, Duty]:
    return {duty.name: duty for duty in duties(settings, place.database)}


def test_there_is_a_duty_for_everything(all_duties: dict[str, Duty]) -> None:
    assert list(all_duties) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_duty_with_nothing_to_do_does_nothing(all_duties: dict[str, Duty], name: str) -> None:
    made = all_duties[name].run()

    assert made == (3 if name == "partitions" else 0)


def test_one_round_brings_everything_forward(all_duties: dict[str, Duty], place: Place) -> None:
    due = steps.queued(place, not_before=datetime.now(UTC) + timedelta(hours=1))
    late, orphan = steps.many_queued(place, 2)
    worker = steps.worker(place)
    (claimed,) = steps.claim(place, worker)
    steps.die(place, worker)
    with place.database.service() as session:
        session.execute(text("UPDATE jobs SET not_before = clock_timestamp() WHERE hold <> 0"))
        session.execute(text("UPDATE jobs SET deadline = clock_timestamp() WHERE id = :id"), {"id": orphan})

    Loop(list(all_duties.values())).step()

    assert claimed.id == late
    assert steps.job(place, due.id).hold == 0
    assert steps.job(place, orphan).state == State.EXPIRED
    assert steps.job(place, late).state == State.QUEUED
