"""Taking a batch in: opened, filled piece by piece, released. On any error nothing is left of it."""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

from sqlalchemy.orm import Session

from quire.batches.opening import Draft, Item, add_items, discard, open_batch, release
from quire.errors import InvalidField
from quire.store.batch import Batch

PIECE = 500  # items of one transaction

Begin = Callable[[], AbstractContextManager[Session]]


@dataclass(frozen=True)
class Limits:
    """Of one batch, and of a tenant's batches that are not over."""

    items: int
    open: int


def take(
    begin: Begin,
    draft: Draft,
    limits: Limits,
    items: Callable[[Batch], Iterable[Item]],
    may_run: Callable[[Session, Batch], bool],
) -> Batch | None:
    """Take a batch in at once; see `take_in_pieces`."""
    pieces = take_in_pieces(begin, draft, limits, items, may_run)
    while True:
        try:
            next(pieces)
        except StopIteration as end:
            taken: Batch | None = end.value
            return taken


def take_in_pieces(
    begin: Begin,
    draft: Draft,
    limits: Limits,
    items: Callable[[Batch], Iterable[Item]],
    may_run: Callable[[Session, Batch], bool],
) -> Generator[None, None, Batch | None]:
    """Take a batch in, in many transactions, and pause between its pieces; closed in a pause, it is discarded.

    Args:
        begin: a transaction that may write the tenant's rows.
        draft: what it is to be.
        limits: which it must not pass.
        items: yields its items; their jobs' ids are the batch's.
        may_run: asked in the last transaction, which its answer belongs to; False discards the batch.

    Raises:
        QuotaExceeded: the tenant has as many batches open as it may.
        InvalidField: there are no items; and whatever `items` and `may_run` raise.

    """
    with begin() as session:
        batch = open_batch(session, draft, most_open=limits.open)
    released = None
    try:
        for number, piece in enumerate(_pieces(items(batch))):
            if number:
                yield
            with begin() as session:
                add_items(session, batch, piece)
        released = _released(begin, batch, may_run)
    finally:
        if released is None:
            with begin() as session:
                discard(session, batch.id)
    return released


def _released(begin: Begin, batch: Batch, may_run: Callable[[Session, Batch], bool]) -> Batch | None:
    if not batch.total:
        raise InvalidField.one("items", "There are none")
    with begin() as session:
        return release(session, batch) if may_run(session, batch) else None


def _pieces(items: Iterable[Item]) -> Iterator[list[Item]]:
    piece: list[Item] = []
    for item in items:
        piece.append(item)
        if len(piece) == PIECE:
            yield piece
            piece = []
    if piece:
        yield piece
