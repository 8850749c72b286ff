"""How long finished jobs are kept: by the server, by their tenant, or by their own wish."""

from typing import Any

import pytest
from sqlalchemy import text

from quire.artifacts import Made
from quire.jobs import Claimed
from quire.store import Job, Tenant
from quire.store.job import State
from quire.testing import Place
from scheduler import housekeeping
from tests.integration import steps


def finished(place: Place, owner: Tenant | None = None, *, hours: float, **columns: Any) -> Claimed:
    """A job that ended so many hours ago, with a text."""
    steps.queued(place, owner, **columns)
    (claimed,) = steps.claim(place, steps.worker(place))
    steps.keep(place, claimed, Made(0, "wav", b"RIFF"))
    steps.succeed(place, claimed, "Once")
    with place.database.service() as session:
        session.execute(
            text("UPDATE jobs SET finished_at = clock_timestamp() - make_interval(secs => :s) WHERE id = :id"),
            {"s": hours * 3600, "id": claimed.id},
        )
    return claimed


def is_there(place: Place, claimed: Claimed) -> bool:
    with place.database.service() as session:
        return session.get(Job, claimed.id) is not None


def forget(place: Place, days: int | None = None) -> int:
    return housekeeping.forget_jobs(place.database, days)


def test_old_jobs_are_deleted_with_their_texts_and_their_bills_stay(place: Place) -> None:
    claimed = finished(place, hours=31 * 24)

    assert forget(place, 30) == 1

    assert not is_there(place, claimed)
    with place.database.service() as session:
        for table in ("chunks", "artifacts", "artifact_parts"):
            assert session.scalar(text(f"SELECT count(*) FROM {table}")) == 0
    assert steps.bill(place, claimed.id).completion_tokens == 4


def test_jobs_that_are_young_enough_are_kept(place: Place) -> None:
    finished(place, hours=29 * 24)

    assert forget(place, 30) == 0


def test_unfinished_jobs_are_kept_however_old(place: Place) -> None:
    queued = steps.queued(place, retention_hours=1)
    with place.database.service() as session:
        session.execute(text("UPDATE jobs SET created_at = created_at - interval '1 year'"))

    assert forget(place, 1) == 0
    assert steps.job(place, queued.id).state == State.QUEUED


def test_without_any_retention_jobs_are_kept_for_ever(place: Place) -> None:
    finished(place, hours=100_000)

    assert forget(place, None) == 0


@pytest.mark.parametrize("days", [None, 1, 365])
def test_a_tenants_retention_stands_in_the_place_of_the_servers(place: Place, days: int | None) -> None:
    owner = steps.tenant(place, retention_days=30)
    young, old = finished(place, owner, hours=29 * 24), finished(place, owner, hours=31 * 24)

    assert forget(place, days) == 1

    assert (is_there(place, young), is_there(place, old)) == (True, False)


def test_a_tenant_that_keeps_long_does_not_keep_others_from_being_swept(place: Place) -> None:
    keeper = steps.tenant(place, retention_days=10_000)
    kept = [finished(place, keeper, hours=5000) for _ in range(3)]
    old = finished(place, hours=100)

    assert forget(place, 1) == 1

    assert all(is_there(place, job) for job in kept)
    assert not is_there(place, old)


def test_a_job_may_ask_to_be_deleted_early(place: Place) -> None:
    early, late = finished(place, hours=2, retention_hours=1), finished(place, hours=2, retention_hours=3)

    assert forget(place, 30) == 1

    assert (is_there(place, early), is_there(place, late)) == (False, True)


def test_a_job_cannot_ask_to_be_kept_longer_than_its_tenants(place: Place) -> None:
    greedy = finished(place, hours=48, retention_hours=87_600)

    assert forget(place, 1) == 1
    assert not is_there(place, greedy)


def test_a_sweep_is_bounded(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "BATCH", 2)
    for _ in range(3):
        finished(place, hours=48)

    assert [forget(place, 1) for _ in range(3)] == [2, 1, 0]


@pytest.mark.parametrize(
    ("statement", "parameters", "index"),
    [
        ("PAST_OWN_RETENTION", {"limit": 5}, "jobs_forget_at"),
        ("PAST_TENANTS_RETENTION", {"limit": 5, "days": 1}, "jobs_finished_of_tenant"),
    ],
)
def test_a_sweep_reads_an_index_and_not_the_table(
    place: Place, statement: str, parameters: dict[str, int], index: str
) -> None:
    from quire.store import forgetting

    steps.in_bulk(place, 2000)
    with place.database.service() as session:
        session.execute(
            text("""
            UPDATE jobs SET state = 'succeeded', finished_at = clock_timestamp(), retention_hours = 100
        """)
        )
    with place.database.service() as session:
        session.execute(text("RESET ROLE"))
        session.execute(text("ANALYZE jobs, tenants"))
        query = f"EXPLAIN {getattr(forgetting, statement).text}"
        plan = "\n".join(session.scalars(text(query), parameters))

    assert index in plan
    assert "Seq Scan on jobs" not in plan
