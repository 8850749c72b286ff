"""A book is reserved slice by slice: it may be longer than its tenant's day, and is held where the day ends."""

from collections.abc import Sequence
from datetime import date
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, text, update

from quire import batches, errors, jobs, testing
from quire.audit import checks
from quire.batches import Draft, Item
from quire.ids import new_id
from quire.jobs import Claimed, Outcome, Report, keeping, slicing
from quire.standing import Blocker, held_by
from quire.store import Batch, Tenant, usage
from quire.store.batch import BatchState
from quire.store.chunk import Position
from quire.store.job import Kind, State
from quire.store.ledger import LedgerEntry
from quire.store.slices import Book
from quire.testing import MODEL, Place
from scheduler.batching import Batching
from tests.integration import steps

SLICE = 20
BOOK = {"kind": Kind.LONGFORM, "prompt_tokens": 4, "max_tokens": 100, "estimate": SLICE}
YESTERDAY = "UPDATE {} SET day = day - 1"


@pytest.fixture(autouse=True)
def _the_accounts_are_balanced(place: Place) -> Any:
    """Whatever a test does, the audit finds nothing: before and after the settled entries are taken over."""
    yield
    for _ in range(2):
        with place.database.service() as session:
            for check in checks.CHECKS:
                assert [(check.name, row.what) for row in session.execute(text(check.exceptions))] == []
            usage.take_over(session, 100)


def limit(place: Place, tokens: int | None) -> None:
    with place.database.service() as session:
        session.execute(update(Tenant).values(max_tokens_per_day=tokens))


def limited(place: Place, tokens: int) -> Tenant:
    return steps.tenant(place, max_tokens_per_day=tokens)


def claimed(place: Place, owner: Tenant) -> Claimed:
    steps.queued(place, owner, **BOOK)
    (book,) = steps.claim(place, steps.worker(place))
    return book


def write(place: Place, book: Claimed, at: int, tokens: int, outcome: Outcome | None = None) -> bool:
    """Write some tokens of a book; False if it was taken from its worker."""
    row = steps.rows(book, "x" * tokens, Position(1, at))
    return not steps.commit(place, Report(book.id, book.fence, row, outcome, turn=tokens))


def again(place: Place) -> Claimed:
    (book,) = steps.claim(place, steps.worker(place))
    return book


def entries(place: Place, book: Claimed) -> Sequence[tuple[int, int | None, int | None]]:
    with place.database.service() as session:
        found = session.scalars(select(LedgerEntry).where(LedgerEntry.job_id == book.id).order_by(LedgerEntry.day))
        return [(entry.reserved, entry.prompt_tokens, entry.completion_tokens) for entry in found]


def release(place: Place) -> int:
    with place.database.service() as session:
        return jobs.release_within_budget(session)


def night(place: Place) -> None:
    """Let all that was done so far be yesterday's."""
    with place.database.service() as session:
        for table in ("ledger", "usage"):
            session.execute(text(YESTERDAY.format(table)))


def test_a_book_reserves_its_first_slice_and_one_ahead_of_what_is_written(place: Place) -> None:
    book = claimed(place, place.tenant)
    assert entries(place, book) == [(4 + SLICE, None, None)]

    write(place, book, 0, 10)
    assert entries(place, book) == [(4 + 10 + SLICE, None, None)]

    write(place, book, 10, 85)
    assert entries(place, book) == [(4 + 100, None, None)]  # no more than it may have

    write(place, book, 95, 3, Outcome(State.SUCCEEDED, 0, 98))
    assert entries(place, book) == [(4 + 100, 4, 98)]


def test_a_book_longer_than_a_day_runs_until_the_day_is_used_up_and_goes_on_when_the_limit_is_raised(
    place: Place,
) -> None:
    owner = limited(place, 50)
    book = claimed(place, owner)
    assert write(place, book, 0, 20)  # 44 are reserved

    assert not write(place, book, 20, 10)  # another slice would make it 54

    row = steps.job(place, book.id)
    assert (row.state, held_by(row), row.attempts) == (State.QUEUED, Blocker.QUOTA, 0)
    assert steps.lane(place, owner).running == 0
    assert release(place) == 0
    limit(place, 54)
    assert release(place) == 1
    book = again(place)
    assert [chunk.tokens for chunk in book.log] == [20, 10]
    assert entries(place, book) == [(4 + 30 + SLICE, None, None)]


def test_the_next_day_has_an_entry_of_its_own_and_each_day_is_billed_its_tokens(place: Place) -> None:
    owner = limited(place, 50)
    book = claimed(place, owner)
    write(place, book, 0, 20)
    assert not write(place, book, 20, 10)

    night(place)
    assert release(place) == 1

    book = again(place)
    assert entries(place, book) == [(44, 4, 30), (SLICE, None, None)]
    assert write(place, book, 30, 25)
    assert write(place, book, 55, 5, Outcome(State.SUCCEEDED, 0, 60))
    assert entries(place, book) == [(44, 4, 30), (25 + SLICE, 0, 30)]


def test_a_book_that_runs_into_the_next_day_begins_its_entry_with_what_it_writes_then(place: Place) -> None:
    book = claimed(place, place.tenant)
    write(place, book, 0, 30)
    night(place)

    write(place, book, 30, 30)

    # What was written in the flush over midnight is still the day's before.
    assert entries(place, book) == [(64, 4, 60), (SLICE, None, None)]
    steps.cancel(place, book.id)
    assert entries(place, book)[1] == (SLICE, 0, 0)


def test_a_late_report_is_kept_whole_even_where_it_passes_the_limit(place: Place) -> None:
    book = claimed(place, limited(place, 50))

    assert not write(place, book, 0, 90)

    assert entries(place, book) == [(94, None, None)]
    assert steps.job(place, book.id).state is State.QUEUED


def test_a_book_whose_day_ends_with_its_last_words_is_not_held(place: Place) -> None:
    book = claimed(place, limited(place, 50))

    assert write(place, book, 0, 40, Outcome(State.SUCCEEDED, 0, 40))

    assert steps.job(place, book.id).state is State.SUCCEEDED


def test_of_two_held_books_one_goes_on_where_there_is_room_for_one(place: Place) -> None:
    owner = limited(place, 200)
    books = [claimed(place, owner), claimed(place, owner)]
    limit(place, 50)
    assert [write(place, book, 0, 10) for book in books] == [False, False]

    limit(place, 60)

    assert (release(place), release(place)) == (1, 0)


def test_the_books_of_one_tenant_that_wait_for_its_day_do_not_keep_those_of_others(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "BATCH", 2)
    crowd, other = limited(place, 200), limited(place, 200)
    books = [claimed(place, crowd) for _ in range(3)] + [claimed(place, other)]
    limit(place, 20)
    assert [write(place, book, 0, 10) for book in books] == [False] * 4
    limit(place, 73)  # the crowd has used 72, and a slice more is 10

    assert release(place) == 1

    assert held_by(steps.job(place, books[3].id)) is None
    assert again(place).id == books[3].id


def test_behind_a_tenant_s_first_book_without_room_none_of_it_goes_on() -> None:
    def book(tenant: UUID, tokens: int, most: int | None = 100) -> Book:
        today = date(2026, 11, 28)
        return Book(
            new_id(), tenant, MODEL, prompt_tokens=4, max_tokens=1000, slice=tokens, day=today, reserved=4,
            today=today, billed=0, most=most, used=50,
        )  # fmt: skip

    first, second = new_id(), new_id()
    books = [book(first, 60), book(first, 1), book(second, 30), book(second, 30), book(new_id(), 999, most=None)]

    short = slicing.without_room_in_turn(books, dict.fromkeys([each.id for each in books], 0))

    assert [each.id in short for each in books] == [True, True, False, True, False]


def test_a_book_whose_first_slice_does_not_fit_is_refused(place: Place) -> None:
    with pytest.raises(errors.DailyTokensExceeded):
        claimed(place, limited(place, 4 + SLICE - 1))


def test_a_batch_feeds_a_book_that_is_longer_than_its_tenants_day(place: Place) -> None:
    owner = limited(place, 2 * (4 + SLICE))
    with place.database.tenant(owner.id) as session:
        batch = batches.open_batch(session, Draft(tenant_id=owner.id, priority=0, max_tokens=110), most_open=9)
        books = [testing.submission(owner, id=batch.job(n), **BOOK) for n in range(2)]
        batches.add_items(session, batch, [Item(n, None, book) for n, book in enumerate(books)])
        batches.release(session, batch)

    Batching(place.database, window=8).run()

    # One as a whole is all that the batch's own budget has room for; of the day it takes a slice.
    (book,) = steps.claim(place, steps.worker(place), k=2)
    assert entries(place, book) == [(4 + SLICE, None, None)]
    assert write(place, book, 0, 10, Outcome(State.SUCCEEDED, 10, 10))
    Batching(place.database, window=8).run()
    with place.database.service() as session:
        row = session.get_one(Batch, batch.id)
    assert (row.state, row.succeeded, row.reserved, row.completion_tokens) == (BatchState.EXHAUSTED, 1, 0, 10)
