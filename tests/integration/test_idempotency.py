"""Two submissions with one key make one job."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from quire import errors, jobs, testing
from quire.jobs import Once
from quire.quotas import Quotas
from quire.store import Job, Tenant, idempotency
from quire.testing import Place
from tests.integration import steps
from tests.waiting import lock_waiters, until

ONCE = Once("key", b"what was sent")


def submit(place: Place, once: Once | None = ONCE, owner: Tenant | None = None) -> Job:
    owner = owner or place.tenant
    with place.database.tenant(owner.id) as session:
        return jobs.submit(session, testing.submission(owner), once=once, quotas=Quotas(100, None))


def count(place: Place) -> int:
    with place.database.service() as session:
        return session.scalar(text("SELECT count(*) FROM jobs"))


def test_a_repeated_submission_returns_the_first_job(place: Place) -> None:
    first = submit(place)

    assert submit(place).id == first.id
    assert count(place) == 1


def test_a_repeated_submission_reserves_nothing_more(place: Place) -> None:
    submit(place)

    submit(place)

    with place.database.service() as session:
        assert session.scalar(text("SELECT count(*) FROM ledger")) == 1


def test_a_repeated_submission_returns_the_job_as_it_is_now(place: Place) -> None:
    submit(place)
    (claimed,) = steps.claim(place, steps.worker(place))
    steps.succeed(place, claimed)

    assert submit(place).state == "succeeded"


def test_the_same_key_with_another_body_is_refused(place: Place) -> None:
    submit(place)

    with pytest.raises(errors.IdempotencyKeyReused):
        submit(place, Once("key", b"something else"))


def test_the_same_key_of_another_tenant_is_another_key(place: Place) -> None:
    submit(place)

    submit(place, owner=steps.tenant(place))

    assert count(place) == 2


def test_submissions_without_a_key_are_all_new(place: Place) -> None:
    submit(place, None)
    submit(place, None)

    assert count(place) == 2


def test_the_key_of_a_deleted_job_does_not_make_a_second_one(place: Place) -> None:
    first = submit(place)
    steps.cancel(place, first.id)
    with place.database.tenant(place.tenant.id) as session:
        jobs.delete(session, place.tenant.id, first.id)

    with pytest.raises(errors.Gone):
        submit(place)


def test_a_refused_submission_leaves_its_key_free(place: Place) -> None:
    submit(place, None)
    with pytest.raises(errors.QuotaExceeded), place.database.tenant(place.tenant.id) as session:
        jobs.submit(session, testing.submission(place.tenant), once=ONCE, quotas=Quotas(1, None))

    assert submit(place).id is not None


def test_a_repetition_is_not_refused_for_the_quota(place: Place) -> None:
    first = submit(place)

    with place.database.tenant(place.tenant.id) as session:
        again = jobs.submit(session, testing.submission(place.tenant), once=ONCE, quotas=Quotas(1, None))

    assert again.id == first.id


def test_of_two_at_once_the_second_waits_and_gets_the_first_ones_job(place: Place, shared_url: str) -> None:
    with ThreadPoolExecutor() as pool:
        with place.database.tenant(place.tenant.id) as session:
            first = jobs.submit(session, testing.submission(place.tenant), once=ONCE, quotas=Quotas(100, None))
            second = pool.submit(submit, place)
            until(lambda: lock_waiters(shared_url) == 1)

        assert second.result().id == first.id


def test_when_the_first_is_rolled_back_the_second_makes_the_job(place: Place, shared_url: str) -> None:
    with ThreadPoolExecutor() as pool:
        with place.database.tenant(place.tenant.id) as session:
            first = jobs.submit(session, testing.submission(place.tenant), once=ONCE, quotas=Quotas(100, None))
            second = pool.submit(submit, place)
            until(lambda: lock_waiters(shared_url) == 1)
            session.rollback()

        assert second.result().id != first.id
    assert count(place) == 1


def test_a_second_does_not_wait_for_ever(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "PATIENCE", text("SET LOCAL lock_timeout = '50ms'"))
    with place.database.tenant(place.tenant.id) as session:
        jobs.submit(session, testing.submission(place.tenant), once=ONCE, quotas=Quotas(100, None))

        with pytest.raises(OperationalError, match="lock timeout"):
            submit(place)


def test_old_keys_are_forgotten(place: Place) -> None:
    submit(place)
    with place.database.service() as session:
        session.execute(text("UPDATE idempotency_keys SET created_at = created_at - interval '25 hours'"))

    with place.database.service() as session:
        assert idempotency.prune(session, 24) == 1

    submit(place)
    assert count(place) == 2


def test_young_keys_are_kept(place: Place) -> None:
    submit(place)

    with place.database.service() as session:
        assert idempotency.prune(session, 24) == 0
