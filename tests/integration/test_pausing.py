"""A paused tenant is not served, keeps what it has, and does not get the time back."""

from typing import Any

from api.schemas import TenantChange
from api.tenancy import Tenancy
from quire.store import Tenant
from quire.testing import RING, Place
from tests.integration import steps


def change(place: Place, owner: Tenant, **changes: Any) -> None:
    Tenancy(place.database, RING).change(owner.id, TenantChange(**changes))


def test_nothing_of_a_paused_tenant_is_claimed(place: Place) -> None:
    steps.queued(place)
    change(place, place.tenant, paused=True)

    assert steps.claim(place, steps.worker(place)) == []


def test_a_pause_lets_what_runs_go_on(place: Place) -> None:
    claimed = steps.running(place)
    change(place, place.tenant, paused=True)

    assert steps.succeed(place, claimed, "Hello") == set()


def test_a_resumed_tenant_is_served_again(place: Place) -> None:
    queued = steps.queued(place)
    worker = steps.worker(place)
    change(place, place.tenant, paused=True)
    steps.claim(place, worker)

    change(place, place.tenant, paused=False)

    assert [job.id for job in steps.claim(place, worker)] == [queued.id]


def test_the_time_of_a_pause_is_not_given_back(place: Place) -> None:
    other = steps.tenant(place)
    worker = steps.worker(place)
    steps.many_queued(place, 20)
    steps.many_queued(place, 20, other)
    change(place, place.tenant, paused=True)
    for _ in range(10):
        (claimed,) = steps.claim(place, worker)
        steps.succeed(place, claimed, work=20)

    change(place, place.tenant, paused=False)

    served = []
    for _ in range(12):
        (claimed,) = steps.claim(place, worker)
        served.append(claimed.tenant_id)
        steps.succeed(place, claimed, work=20)
    # Six and six, but for the job that either may be ahead.
    assert min(map(served.count, (place.tenant.id, other.id))) >= 5


def test_a_cap_that_is_raised_holds_from_the_next_claim(place: Place) -> None:
    limited = steps.tenant(place, max_running=1)
    steps.many_queued(place, 3, limited)
    worker = steps.worker(place)
    assert len(steps.claim(place, worker, k=3)) == 1

    change(place, limited, max_running=None)

    assert len(steps.claim(place, worker, k=3)) == 2
