"""What is reserved at submission, and what is billed at the end."""

import pytest
from sqlalchemy import text

from quire import errors
from quire.jobs import Outcome
from quire.spec import Parameters
from quire.store import ledger
from quire.store.job import State
from quire.testing import Place
from tests.integration import steps


def test_a_submission_reserves_its_prompt_and_all_it_may_deliver(place: Place) -> None:
    queued = steps.queued(place, parameters=Parameters(max_tokens=10, n=2, best_of=3))

    bill = steps.bill(place, queued.id)
    assert (bill.reserved, bill.settled_at) == (4 + 2 * 10, None)


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED])
def test_the_end_of_a_job_bills_its_prompt_and_what_was_delivered(place: Place, state: State) -> None:
    claimed = steps.running(place)

    steps.commit(place, steps.report(claimed, "Hello", Outcome(state, work=99, completion_tokens=5)))

    bill = steps.bill(place, claimed.id)
    assert (bill.prompt_tokens, bill.completion_tokens) == (claimed.prompt_tokens, 5)
    assert bill.settled_at is not None


def test_a_job_put_back_is_not_billed(place: Place) -> None:
    claimed = steps.running(place)

    steps.commit(place, steps.report(claimed, "Hello", Outcome(State.QUEUED, 9)))

    assert steps.bill(place, claimed.id).settled_at is None


def test_a_job_that_never_ran_costs_nothing(place: Place) -> None:
    queued = steps.queued(place)

    steps.cancel(place, queued.id)

    bill = steps.bill(place, queued.id)
    assert (bill.prompt_tokens, bill.completion_tokens) == (0, 0)


def test_a_bill_is_settled_once(place: Place) -> None:
    claimed = steps.running(place)
    steps.succeed(place, claimed, "Hello")
    before = steps.bill(place, claimed.id)

    with place.database.service() as session:
        ledger.settle(session, [(claimed.id, 1000, 1000)])

    after = steps.bill(place, claimed.id)
    assert (after.completion_tokens, after.settled_at) == (before.completion_tokens, before.settled_at)


def test_a_refused_submission_reserves_nothing(place: Place) -> None:
    limited = steps.tenant(place, max_queued=1)
    steps.queued(place, limited)

    with pytest.raises(errors.QuotaExceeded):
        steps.queued(place, limited)

    with place.database.service() as session:
        entries = session.scalar(text("SELECT count(*) FROM ledger WHERE tenant_id = :id"), {"id": limited.id})
    assert entries == 1


def test_a_tenant_may_submit_again_when_a_job_has_started(place: Place) -> None:
    limited = steps.tenant(place, max_queued=1)
    steps.queued(place, limited)
    steps.claim(place, steps.worker(place))

    assert steps.queued(place, limited).state == State.QUEUED


def test_the_jobs_of_others_do_not_use_up_a_quota(place: Place) -> None:
    limited = steps.tenant(place, max_queued=1)
    steps.queued(place)

    assert steps.queued(place, limited).state == State.QUEUED
