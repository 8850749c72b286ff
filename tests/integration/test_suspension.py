"""A suspended tenant: nothing of it is claimed, what runs is put back, and nothing is lost."""

from uuid import UUID

import pytest
from redis import Redis
from sqlalchemy import text

from quire import jobs, queue, tenants
from quire.errors import Conflict, NotFound
from quire.ids import new_id
from quire.store import Tenant
from quire.store.job import State
from quire.testing import RING, Place
from scheduler import tokens
from tests.integration import steps


def suspend(place: Place, tenant_id: UUID) -> Tenant:
    with place.database.service() as session:
        return tenants.suspend(session, tenant_id)


def resume(place: Place, tenant_id: UUID) -> Tenant:
    with place.database.service() as session:
        return tenants.resume(session, tenant_id)


def put_back(place: Place) -> int:
    with place.database.service() as session:
        return jobs.put_back_suspended(session)


def test_nothing_of_a_suspended_tenant_is_claimed(place: Place) -> None:
    other = steps.tenant(place)
    steps.many_queued(place, 3)
    wanted = steps.queued(place, other)
    suspend(place, place.tenant.id)

    claimed = steps.claim(place, steps.worker(place), k=8)

    assert [job.id for job in claimed] == [wanted.id]


def test_what_runs_is_put_back_with_its_text_and_without_an_attempt(place: Place) -> None:
    claimed = steps.running(place)
    steps.commit(place, steps.report(claimed, "Hello"))
    suspend(place, place.tenant.id)

    assert put_back(place) == 1

    row = steps.job(place, claimed.id)
    assert (row.state, row.attempts, row.fence) == (State.QUEUED, 0, claimed.fence + 1)
    assert steps.text_of(place, place.tenant, claimed.id) == "Hello"
    assert steps.lane(place).running == 0


def test_its_worker_writes_nothing_more(place: Place) -> None:
    claimed = steps.running(place)
    suspend(place, place.tenant.id)
    put_back(place)

    assert steps.succeed(place, claimed, "too late") == {claimed.id}
    assert steps.text_of(place, place.tenant, claimed.id) == ""


def test_others_jobs_are_not_put_back(place: Place) -> None:
    claimed = steps.running(place)
    suspend(place, steps.tenant(place).id)

    assert put_back(place) == 0
    assert steps.job(place, claimed.id).state == State.RUNNING


def test_resumed_it_goes_on_where_it_was(place: Place) -> None:
    claimed = steps.running(place)
    steps.commit(place, steps.report(claimed, "Hello "))
    suspend(place, place.tenant.id)
    put_back(place)

    resume(place, place.tenant.id)

    (again,) = steps.claim(place, steps.worker(place))
    assert again.id == claimed.id
    assert steps.succeed(place, again, "World") == set()
    assert steps.text_of(place, place.tenant, claimed.id) == "Hello World"


def test_the_time_of_a_suspension_is_not_banked(place: Place) -> None:
    # Else a tenant that comes back would have every slot until it had caught up.
    steps.queued(place)
    suspend(place, place.tenant.id)
    other = steps.tenant(place)
    worker = steps.worker(place)
    for _ in range(5):
        steps.queued(place, other)
        (claimed,) = steps.claim(place, worker)
        steps.succeed(place, claimed, work=1000)
    steps.queued(place, other)
    steps.claim(place, worker)

    resume(place, place.tenant.id)

    assert steps.virtual_now(place) > 0
    assert steps.lane(place).virtual_time >= steps.virtual_now(place)


def test_no_tokens_are_made_for_a_suspended_tenant(place: Place, redis_url: str) -> None:
    # They would wake slots for nothing, four times a second.
    steps.worker(place)
    steps.many_queued(place, 3)
    suspend(place, place.tenant.id)
    app = queue.celery_app(redis_url)
    with Redis.from_url(redis_url) as client:
        assert tokens.top_up(place.database, client, app) == 0

        resume(place, place.tenant.id)

        assert tokens.top_up(place.database, client, app) == 3
    app.close()


def test_suspending_twice_keeps_the_first_time(place: Place) -> None:
    first = suspend(place, place.tenant.id).suspended_at

    assert first is not None
    assert suspend(place, place.tenant.id).suspended_at == first


def test_a_tenant_that_is_none_is_not_found(place: Place) -> None:
    for act in (suspend, resume):
        with pytest.raises(NotFound):
            act(place, new_id())


def test_a_deleted_tenant_cannot_be_resumed(place: Place) -> None:
    suspend(place, place.tenant.id)
    with place.database.service() as session:
        tenants.delete(session, place.tenant.id, RING, "request")

    with pytest.raises(Conflict):
        resume(place, place.tenant.id)


def test_a_claim_under_way_during_the_suspension_is_put_back_as_well(place: Place) -> None:
    steps.queued(place)
    worker = steps.worker(place)
    with place.database.service() as session:
        # given a claim that has looked at the tenant before it was suspended
        claimed = jobs.claim(session, model="tiny", worker_id=worker, numerics="fake", k=1)
        suspend(place, place.tenant.id)
        assert put_back(place) == 0

    assert put_back(place) == 1
    assert steps.job(place, claimed[0].id).state == State.QUEUED


def test_deadlines_of_a_suspended_tenant_pass_as_agreed(place: Place) -> None:
    queued = steps.queued(place)
    suspend(place, place.tenant.id)
    with place.database.service() as session:
        session.execute(text("UPDATE jobs SET deadline = clock_timestamp()"))
    with place.database.service() as session:
        jobs.expire_overdue(session)

    assert steps.job(place, queued.id).state == State.EXPIRED
