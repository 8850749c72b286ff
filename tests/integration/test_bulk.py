"""Many jobs in one transaction: they are what as many single submissions would have made."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, text

from quire import errors, ids, jobs, testing
from quire.jobs import Once, Submission
from quire.quotas import Quotas
from quire.store import Job, Tenant, Usage
from quire.store.job import Hold
from quire.testing import Place
from tests.integration import steps

FREE = Quotas(max_queued=100_000, max_tokens_per_day=None)
ONCE = Once("key", b"print")


def drafts(owner: Tenant, count: int, **columns: object) -> list[Submission]:
    return [testing.submission(owner, id=job_id, **columns) for job_id in ids.new_run(count)]


def submit(place: Place, news: list[Submission], once: Once | None = None, quotas: Quotas = FREE) -> list:
    with place.database.tenant(place.tenant.id) as session:
        return jobs.submit_many(session, place.tenant.id, news, once=once, quotas=quotas)


def rows(place: Place) -> list[Job]:
    with place.database.service() as session:
        return list(session.scalars(select(Job).order_by(Job.seq)))


def test_each_job_is_as_a_single_submission_would_have_made_it(place: Place) -> None:
    single = testing.submission(place.tenant, priority=3, metadata={"a": "b"})
    with place.database.tenant(place.tenant.id) as session:
        jobs.submit(session, single, once=None, quotas=FREE)

    submit(place, drafts(place.tenant, 1, priority=3, metadata={"a": "b"}))

    one, other = rows(place)
    own = {"id", "seq", "body", "created_at"}
    for column in set(Job.__table__.columns.keys()) - own - {"metadata"}:
        assert getattr(one, column) == getattr(other, column), column
    assert one.user_metadata == other.user_metadata == {"a": "b"}
    assert steps.bill(place, one.id).reserved == steps.bill(place, other.id).reserved


def test_they_are_served_in_the_order_of_the_body(place: Place) -> None:
    made = submit(place, drafts(place.tenant, 50))

    claimed = steps.claim(place, steps.worker(place, slots=50), k=50)

    assert [job.id for job in rows(place)] == made
    assert {job.id for job in claimed} == set(made)


def test_a_lane_that_slept_is_woken(place: Place) -> None:
    submit(place, drafts(place.tenant, 2))

    assert steps.lane(place).ready


def test_held_jobs_are_held(place: Place) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)

    submit(place, drafts(place.tenant, 2, not_before=later))

    assert {job.hold for job in rows(place)} == {Hold.NOT_BEFORE}
    assert not steps.lane(place).ready


def test_the_accounts_hold_the_sum_of_the_reservations(place: Place) -> None:
    news = drafts(place.tenant, 10)
    submit(place, news)

    with place.database.service() as session:
        reserved = session.scalars(select(Usage.reserved)).one()
        entries = session.execute(text("SELECT count(*), sum(reserved) FROM ledger")).one()
    assert reserved == sum(new.reserved for new in news) == entries[1]
    assert entries[0] == 10


@pytest.mark.parametrize("quotas", [Quotas(9, None), Quotas(100, 199)])
def test_when_not_all_fit_a_quota_none_is_queued(place: Place, quotas: Quotas) -> None:
    with pytest.raises(errors.QuotaExceeded):
        submit(place, drafts(place.tenant, 10), quotas=quotas)

    assert rows(place) == []


def test_the_same_key_gives_the_same_jobs(place: Place) -> None:
    made = submit(place, drafts(place.tenant, 5), ONCE)

    again = submit(place, drafts(place.tenant, 5), ONCE)

    assert again == made
    assert len(rows(place)) == 5


def test_a_key_of_another_body_is_refused(place: Place) -> None:
    submit(place, drafts(place.tenant, 5), ONCE)

    with pytest.raises(errors.IdempotencyKeyReused):
        submit(place, drafts(place.tenant, 5), Once("key", b"other"))


def test_a_run_of_ids_is_told_by_its_first() -> None:
    run = ids.new_run(1000)

    assert ids.run(run[0], 1000) == run
    assert len(set(run)) == 1000
    assert {(job_id.version, job_id.variant) for job_id in run} == {(7, "specified in RFC 4122")}
