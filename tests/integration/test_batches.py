"""Batches in the database: the window, budgets and caps, deadlines, retention, and what several schedulers do."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.exc import DataError
from sqlalchemy.orm import Session

from quire import batches, jobs, tenants, testing
from quire.batches import Draft, Feeder, Item, Limits
from quire.store import Batch, BatchItem, Job, LedgerEntry, Tenant, Usage
from quire.store.base import now
from quire.store.batch import BatchState
from quire.testing import RING, Place
from scheduler import batching, housekeeping
from scheduler.batching import Batching
from tests.integration import steps
from tests.waiting import in_background

TOKENS = len("Item 0") + 16  # that one item may cost


def step(place: Place, batch: UUID, window: int = 256) -> int:
    with place.database.service() as session:
        return Feeder(window).step(session, batch)


def turn(place: Place, window: int = 256) -> int:
    return Batching(place.database, window=window).run()


def row(place: Place, batch: UUID) -> Batch:
    with place.database.service() as session:
        return session.get_one(Batch, batch)


def counts(place: Place, batch: UUID) -> batches.Counts:
    with place.database.service() as session:
        return batches.counts(session, [batch])[batch]


def work(place: Place, worker: UUID, k: int, text: str = "Done") -> int:
    """Claim and finish so many jobs; returns how many there were."""
    claimed = steps.claim(place, worker, k=k)
    for job in claimed:
        steps.succeed(place, job, text)
    return len(claimed)


def test_a_window_is_refilled_as_items_end(place: Place) -> None:
    batch, worker = steps.batch(place, 10), steps.worker(place)
    assert turn(place, window=4) == 4
    assert turn(place, window=4) == 0

    work(place, worker, 3)

    assert turn(place, window=4) == 3 + 3
    assert counts(place, batch) == batches.Counts(10, 3, 4, 0, 3, 0, 0, 0)


def test_no_more_items_than_its_cap_are_jobs_at_once(place: Place) -> None:
    batch = steps.batch(place, 10, max_running=2)

    turn(place)

    assert counts(place, batch).queued == 2


def test_items_are_fed_and_claimed_in_their_order(place: Place) -> None:
    batch, worker = steps.batch(place, 10), steps.worker(place)
    turn(place)

    claimed = steps.claim(place, worker, k=10)

    assert [row(place, batch).number(job.id) for job in claimed] == list(range(10))


def test_a_budget_is_never_passed_and_what_is_over_goes_to_later_items(place: Place) -> None:
    batch, worker = steps.batch(place, 10, max_tokens=3 * TOKENS), steps.worker(place)
    turn(place)
    assert counts(place, batch).queued == 3

    while work(place, worker, 8, "x"):  # of 16 tokens each uses 1, so later items can be paid
        turn(place)

    done = row(place, batch)
    spent = done.prompt_tokens + done.completion_tokens
    assert (done.state, spent <= 3 * TOKENS) == (BatchState.EXHAUSTED, True)
    assert (done.succeeded, done.cancelled) == (7, 3)
    assert spent == 7 * (len("Item 0") + 1)


def test_a_tenant_out_of_tokens_for_the_day_waits_and_says_so(place: Place) -> None:
    owner = steps.tenant(place, max_tokens_per_day=5 * TOKENS)
    batch = steps.batch(place, 10, owner)

    turn(place)

    assert 1 <= counts(place, batch).queued <= 5
    assert row(place, batch).blocked_by == "quota"
    with place.database.service() as session:
        reserved = session.scalar(select(func.sum(Usage.reserved)).where(Usage.tenant_id == owner.id))
    assert reserved == counts(place, batch).queued * TOKENS


def test_a_full_queue_of_the_tenant_holds_its_batches_back(place: Place) -> None:
    owner = steps.tenant(place, max_queued=3)
    batch = steps.batch(place, 10, owner)

    turn(place)

    assert counts(place, batch).queued == 3


def test_nothing_is_fed_while_its_tenant_is_paused(place: Place) -> None:
    owner = steps.tenant(place, paused=True)
    batch = steps.batch(place, 10, owner)

    turn(place)

    assert (counts(place, batch).held, row(place, batch).blocked_by) == (10, "paused")


def test_a_deadline_expires_what_is_left(place: Place) -> None:
    with place.database.service() as session:
        soon = now(session) + timedelta(hours=1)
    batch, worker = steps.batch(place, 6, deadline=soon), steps.worker(place)
    turn(place, window=3)
    work(place, worker, 1)
    (running,) = steps.claim(place, worker, k=1)
    steps.commit(place, steps.report(running, "Half"))
    with place.database.service() as session:
        session.execute(update(Batch).values(deadline=now(session)))

    with place.database.service() as session:
        assert batches.expire_overdue(session) == 1

    done = row(place, batch)
    assert (done.state, done.succeeded, done.expired, done.live) == (BatchState.EXPIRED, 1, 5, 0)
    assert done.completion_tokens == len("Done") + len("Half")
    with place.database.service() as session:
        assert set(session.scalars(select(Job.deadline))) == {soon}


def overdue(place: Place) -> None:
    """Let the deadline of all batches be now, and of their jobs."""
    with place.database.service() as session:
        session.execute(update(Batch).values(deadline=now(session)))
        session.execute(update(Job).values(deadline=now(session)))


def test_a_batch_whose_last_items_expired_as_jobs_has_expired(place: Place) -> None:
    batch = steps.batch(place, 3)
    turn(place)
    overdue(place)
    with place.database.service() as session:
        assert jobs.expire_overdue(session) == 3

    turn(place)  # before the duty that ends batches comes along

    done = row(place, batch)
    assert (done.state, done.expired, done.live) == (BatchState.EXPIRED, 3, 0)


def test_nothing_is_fed_after_the_deadline(place: Place) -> None:
    batch = steps.batch(place, 3)
    overdue(place)

    turn(place)

    done = row(place, batch)
    assert (done.state, done.expired, done.held) == (BatchState.EXPIRED, 3, 0)


def test_a_batch_that_was_done_by_its_deadline_is_completed_whoever_comes_first(place: Place) -> None:
    batch, worker = steps.batch(place, 3), steps.worker(place)
    turn(place)
    work(place, worker, 3)
    overdue(place)

    with place.database.service() as session:
        assert batches.expire_overdue(session) == 1

    done = row(place, batch)
    assert (done.state, done.succeeded) == (BatchState.COMPLETED, 3)


def test_overdue_batches_are_ended_one_in_a_transaction(place: Place) -> None:
    steps.batch(place, 1)
    steps.batch(place, 1)
    overdue(place)

    ended = []
    for _ in range(3):
        with place.database.service() as session:
            ended.append(batches.expire_overdue(session))

    assert ended == [1, 1, 0]


def test_a_batch_that_runs_though_nobody_heard_of_it_is_not_discarded(place: Place) -> None:
    def begin() -> Any:
        return place.database.tenant(place.tenant.id)

    @contextmanager
    def cut_off() -> Iterator[Session]:
        with begin() as session:
            yield session
            told = session.scalar(select(Batch.state))
        if told is BatchState.RUNNING:
            raise ConnectionError("the answer to COMMIT was lost")

    def items(batch: Batch) -> list[Item]:
        return [Item(0, None, testing.submission(place.tenant, id=batch.job(0)))]

    draft = Draft(tenant_id=place.tenant.id, priority=0)
    with pytest.raises(ConnectionError):
        batches.take(cut_off, draft, Limits(10, 10), items, lambda *_: True)

    with place.database.service() as session:
        [left] = session.scalars(select(Batch))
    assert (left.state, counts(place, left.id).held) == (BatchState.RUNNING, 1)


def test_what_a_copy_is_refused_for_is_told_as_of_any_statement(place: Place) -> None:
    with place.database.tenant(place.tenant.id) as session:
        batch = batches.open_batch(session, Draft(tenant_id=place.tenant.id, priority=0), most_open=10)
    item = Item(0, "\x00", testing.submission(place.tenant, id=batch.job(0)))

    with pytest.raises(DataError), place.database.tenant(place.tenant.id) as session:
        batches.add_items(session, batch, [item])


def test_batches_that_are_hungry_and_those_where_something_ended_take_turns(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "BATCHES", 2)
    first, second = steps.batch(place, 1), steps.batch(place, 1)
    turn(place)
    claimed = steps.claim(place, steps.worker(place), k=2)
    for job in reversed(claimed):
        steps.succeed(place, job, "Done")
    hungry = steps.batch(place, 1)

    turn(place)

    states = [row(place, batch).state for batch in (first, second)]
    assert states == [BatchState.RUNNING, BatchState.COMPLETED]  # the one that has waited longest
    assert counts(place, hungry).queued == 1


def test_a_paused_tenants_batches_are_looked_at_once(place: Place) -> None:
    owner = steps.tenant(place, paused=True)
    batch = steps.batch(place, 2, owner)
    turn(place)
    with place.database.service() as session:
        session.execute(update(Batch).values(feed_at=now(session)))
        assert batches.is_hungry(session, 10) == []
        session.execute(update(Tenant).values(paused=False))

    turn(place)

    assert (counts(place, batch).queued, row(place, batch).blocked_by) == (2, None)


def test_the_books_of_a_cancelled_batch_are_closed(place: Place) -> None:
    batch, worker = steps.batch(place, 6), steps.worker(place)
    turn(place, window=4)
    steps.claim(place, worker, k=2)

    with place.database.tenant(place.tenant.id) as session:
        batches.cancel(session, place.tenant.id, batch)

    done = row(place, batch)
    assert (done.cancelled, done.reserved, done.held, done.live) == (6, 0, 0, 0)
    with place.database.service() as session:
        assert session.scalars(select(LedgerEntry.settled_at)).all().count(None) == 0
        assert session.scalar(select(func.count()).select_from(LedgerEntry)) == 4
    assert steps.lane(place).running == 0


def test_two_schedulers_feed_each_item_once(place: Place) -> None:
    batch = steps.batch(place, 200)
    with place.database.service() as session:
        Feeder(50).step(session, batch)  # holds the batch until the end of this block
        assert in_background(step, place, batch, 50).result(20) == 0

    racing = [in_background(step, place, batch, 200) for _ in range(4)]

    assert sum(each.result(20) for each in racing) == 150
    assert counts(place, batch).queued == 200


def test_a_batch_that_was_never_released_is_nobodys_and_goes(place: Place) -> None:
    with place.database.tenant(place.tenant.id) as session:
        asked = Draft(tenant_id=place.tenant.id, priority=0)
        batch = batches.open_batch(session, asked, most_open=10)
        batches.add_items(session, batch, [Item(0, None, testing.submission(place.tenant, id=batch.job(0)))])
    assert (turn(place), housekeeping.forget_batches(place.database, None)) == (0, 0)
    with place.database.service() as session:
        session.execute(update(Batch).values(created_at=now(session) - timedelta(hours=2)))

    while housekeeping.forget_batches(place.database, None):
        pass

    with place.database.service() as session:
        assert session.scalar(select(func.count()).select_from(Batch)) == 0
        assert session.scalar(select(func.count()).select_from(BatchItem)) == 0


@pytest.mark.parametrize(
    ("draft", "days", "kept"), [({}, None, True), ({}, 3, False), ({"retention_hours": 24}, None, False)]
)
def test_a_batch_is_kept_as_long_as_it_or_its_tenant_says(
    place: Place, draft: dict[str, Any], days: int | None, kept: bool
) -> None:
    batch, worker = steps.batch(place, 3, **draft), steps.worker(place)
    turn(place)
    work(place, worker, 3)
    turn(place)
    old = {"finished_at": Batch.finished_at - timedelta(days=4)}
    with place.database.service() as session:
        session.execute(update(Batch).values(**old))
        session.execute(update(Job).values(finished_at=Job.finished_at - timedelta(days=4)))

    assert housekeeping.forget_jobs(place.database, days) == 0  # its jobs go with it, and not before
    while housekeeping.forget_batches(place.database, days):
        pass

    with place.database.service() as session:
        left = session.scalar(select(func.count()).select_from(Job).where(Job.batch_id == batch))
        assert (left, session.get(Batch, batch) is not None) == ((3, True) if kept else (0, False))


def test_the_batches_of_a_deleted_tenant_are_ended_and_removed(place: Place) -> None:
    steps.batch(place, 600)
    turn(place, window=5)
    with place.database.service() as session:
        tenants.suspend(session, place.tenant.id)
    with place.database.service() as session:
        tenants.delete(session, place.tenant.id, RING, "request")

    def erase() -> int:
        with place.database.service() as session:
            return tenants.erase(session)

    while erase():
        pass

    with place.database.service() as session:
        assert session.get(Tenant, place.tenant.id) is None
        assert session.scalar(select(func.count()).select_from(BatchItem)) == 0
        assert tenants.receipt_of(session, place.tenant.id).jobs == 5


def test_an_item_that_could_not_be_one_has_its_place_at_once(place: Place) -> None:
    with place.database.tenant(place.tenant.id) as session:
        batch = batches.open_batch(session, Draft(tenant_id=place.tenant.id, priority=0), most_open=10)
        good = Item(1, "good", testing.submission(place.tenant, id=batch.job(1)))
        bad = Item(0, "bad", None, {"code": "invalid", "message": "No."})
        for piece in ([bad], [good]):  # in one transaction
            batches.add_items(session, batch, piece)
        batches.release(session, batch)
    turn(place)
    work(place, steps.worker(place), 1)
    turn(place)

    done = row(place, batch.id)
    assert (done.state, done.succeeded, done.failed) == (BatchState.COMPLETED, 1, 1)
    with place.database.service() as session:
        found = batches.places(session, done, batches.Cursor(), 10)
    assert [(place_.item.custom_id, place_.job is None) for place_ in found] == [("bad", True), ("good", False)]


def test_collecting_twice_counts_once(place: Place) -> None:
    batch, worker = steps.batch(place, 4), steps.worker(place)
    turn(place)
    work(place, worker, 2)
    assert step(place, batch) == 2

    assert step(place, batch) == 0

    assert (row(place, batch).succeeded, row(place, batch).placed) == (2, 2)
