"""What a tenant has reserved and was billed by the day, and the limit on it."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import select, text

from quire import errors, jobs, testing
from quire.quotas import Quotas
from quire.spec import Parameters
from quire.store import Usage, usage
from quire.store.job import State
from quire.testing import Place
from scheduler import accounts
from tests.integration import steps

MAX = Parameters(max_tokens=16)
RESERVED = len("Once") + 16  # of the job that `steps.queued` makes


def account(place: Place) -> Usage:
    """The one account of the place's tenant."""
    with place.database.service() as session:
        return session.scalars(select(Usage).where(Usage.tenant_id == place.tenant.id)).one()


def test_a_submission_reserves_what_may_be_billed_and_not_its_lost_draws(place: Place) -> None:
    queued = steps.queued(place, parameters=Parameters(max_tokens=10, n=2, best_of=3))

    assert steps.bill(place, queued.id).reserved == account(place).reserved == len("Once") + 2 * 10


def test_the_end_of_a_job_turns_its_reservation_into_what_was_delivered(place: Place) -> None:
    claimed = steps.running(place)
    steps.succeed(place, claimed, "Hello")

    assert accounts.take_over(place.database) == 1

    row = account(place)
    assert (row.reserved, row.jobs, row.prompt_tokens, row.completion_tokens) == (0, 1, 4, 5)


def test_what_was_taken_over_is_not_taken_again(place: Place) -> None:
    steps.succeed(place, steps.running(place), "Hello")
    accounts.take_over(place.database)

    assert accounts.take_over(place.database) == 0
    assert account(place).jobs == 1


def test_a_job_that_still_runs_keeps_its_reservation(place: Place) -> None:
    steps.running(place)

    assert accounts.take_over(place.database) == 0
    assert account(place).reserved == RESERVED


def test_a_refund_goes_to_the_day_of_the_reservation(place: Place) -> None:
    claimed = steps.running(place)
    with place.database.service() as session:  # as if it had been submitted the day before
        for table in ("usage", "ledger"):
            session.execute(text(f"UPDATE {table} SET day = day - 1"))
        today = testing.today(session)

    steps.succeed(place, claimed, "Hello")
    accounts.take_over(place.database)

    assert (account(place).day, account(place).reserved) == (today - timedelta(days=1), 0)


def test_a_cancelled_job_gives_its_reservation_back(place: Place) -> None:
    queued = steps.queued(place)
    steps.cancel(place, queued.id)

    accounts.take_over(place.database)

    row = account(place)
    assert (row.reserved, row.prompt_tokens, row.completion_tokens, row.jobs) == (0, 0, 0, 1)


def test_the_day_is_full_when_reservations_and_bills_reach_the_limit(place: Place) -> None:
    limited = steps.tenant(place, max_tokens_per_day=2 * RESERVED)
    steps.many_queued(place, 2, limited)

    with pytest.raises(errors.DailyTokensExceeded) as refusal:
        steps.queued(place, limited)

    left = refusal.value.allowance
    assert left is not None
    assert (left.policy, left.quota, left.remaining, left.window) == ("tokens", 2 * RESERVED, 0, 86_400)
    assert 0 < left.reset <= 86_400


def test_a_refused_submission_leaves_nothing_behind(place: Place) -> None:
    limited = steps.tenant(place, max_tokens_per_day=RESERVED - 1)

    with pytest.raises(errors.DailyTokensExceeded):
        steps.queued(place, limited)

    with place.database.service() as session:
        assert session.scalars(select(Usage)).all() == []
        assert session.execute(text("SELECT count(*) FROM ledger")).scalar_one() == 0
        assert session.execute(text("SELECT count(*) FROM jobs")).scalar_one() == 0


def test_a_refund_makes_room_for_another_job(place: Place) -> None:
    limited = steps.tenant(place, max_tokens_per_day=RESERVED)
    first = steps.queued(place, limited)
    steps.cancel(place, first.id, limited)
    accounts.take_over(place.database)

    assert steps.queued(place, limited).state is State.QUEUED


def test_submissions_at_once_do_not_pass_the_limit_together(place: Place) -> None:
    quotas = Quotas(max_queued=100, max_tokens_per_day=3 * RESERVED)

    def submit(_: int) -> bool:
        with place.database.tenant(place.tenant.id) as session:
            try:
                jobs.submit(session, testing.submission(place.tenant, parameters=MAX), once=None, quotas=quotas)
            except errors.DailyTokensExceeded:
                session.rollback()
                return False
        return True

    with ThreadPoolExecutor(10) as pool:
        accepted = list(pool.map(submit, range(10)))

    assert sum(accepted) == 3
    assert account(place).reserved == 3 * RESERVED


def test_two_schedulers_share_the_settled_entries(place: Place) -> None:
    for _ in range(20):
        steps.succeed(place, steps.running(place), "Hello")

    with ThreadPoolExecutor(2) as pool:
        taken = sum(pool.map(lambda _: accounts.take_over(place.database), range(2)))

    taken += accounts.take_over(place.database)
    assert (taken, account(place).jobs, account(place).completion_tokens) == (20, 20, 100)


def test_the_accounts_of_a_tenant_are_its_own(place: Place) -> None:
    other = steps.tenant(place)
    steps.queued(place)
    today = account(place).day

    with place.database.tenant(other.id) as session:
        assert usage.between(session, place.tenant.id, today, today) == []
