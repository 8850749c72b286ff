"""When the reaper takes a lapsed lease for a dead worker, and when it does not yet."""

import pytest
from sqlalchemy import text

from quire.store import worker as workers
from quire.store.job import State
from quire.testing import Place
from scheduler.reaper import Reaper
from tests.integration import steps

LEASE = 10.0


class Clock:
    """Time that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reaper(place: Place, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Reaper:
    """A reaper, and a Postgres that has been up for a day."""
    monkeypatch.setattr(workers, "postgres_uptime", lambda _: 86_400.0)
    return Reaper(place.database, lease_seconds=LEASE, max_attempts=3, clock=clock)


def lapsed(place: Place) -> None:
    """A job runs on a worker whose lease has run out."""
    steps.running(place)
    lapse(place)


def lapse(place: Place) -> None:
    with place.database.service() as session:
        session.execute(text("UPDATE workers SET lease_until = clock_timestamp() - interval '1 second'"))


def fail(reaper: Reaper, monkeypatch: pytest.MonkeyPatch) -> None:
    """One tick without Postgres."""
    with monkeypatch.context() as broken:
        broken.setattr(workers, "delete_lapsed", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            reaper.run()


def test_jobs_of_a_lapsed_lease_are_put_back(place: Place, reaper: Reaper) -> None:
    lapsed(place)

    assert reaper.run() == 1
    assert steps.lane(place).running == 0


def test_jobs_of_a_live_lease_are_left_alone(place: Place, reaper: Reaper) -> None:
    steps.running(place)

    assert reaper.run() == 0


def test_after_a_failed_tick_it_does_not_trust_lapsed_leases(
    place: Place, reaper: Reaper, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    lapsed(place)
    fail(reaper, monkeypatch)

    clock.now += LEASE - 0.001

    assert reaper.run() == 0


def test_one_lease_after_a_failed_tick_it_trusts_them_again(
    place: Place, reaper: Reaper, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    lapsed(place)
    fail(reaper, monkeypatch)

    clock.now += LEASE

    assert reaper.run() == 1


@pytest.mark.parametrize(("uptime", "put_back"), [(LEASE - 0.001, 0), (LEASE, 1)])
def test_it_waits_one_lease_after_postgres_has_started(
    place: Place, reaper: Reaper, monkeypatch: pytest.MonkeyPatch, uptime: float, put_back: int
) -> None:
    lapsed(place)
    monkeypatch.setattr(workers, "postgres_uptime", lambda _: uptime)

    assert reaper.run() == put_back


def test_a_lease_ended_on_purpose_counts_at_once(
    place: Place, reaper: Reaper, monkeypatch: pytest.MonkeyPatch
) -> None:
    claimed = steps.running(place)
    monkeypatch.setattr(workers, "postgres_uptime", lambda _: 0.0)
    steps.die(place, steps.job(place, claimed.id).worker_id)

    assert reaper.run() == 1
    assert steps.job(place, claimed.id).state == State.QUEUED


def test_two_reapers_at_once_count_a_crash_once(place: Place, reaper: Reaper, clock: Clock) -> None:
    lapsed(place)
    other = Reaper(place.database, lease_seconds=LEASE, max_attempts=3, clock=clock)

    assert [reaper.run(), other.run()] == [1, 0]


def test_the_uptime_of_postgres_is_known(place: Place) -> None:
    with place.database.service() as session:
        assert workers.postgres_uptime(session) > 0


def test_a_worker_that_hangs_in_the_middle_of_a_claim_does_not_keep_others_from_being_given_up(
    place: Place, reaper: Reaper
) -> None:
    lapsed(place)
    hanging = steps.worker(place)
    lapse(place)
    with place.database.service() as claim:
        claim.execute(text("SELECT 1 FROM workers WHERE id = :id FOR KEY SHARE"), {"id": hanging})

        assert reaper.run() == 1
