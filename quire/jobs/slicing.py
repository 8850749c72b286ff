"""How a book is reserved: a slice ahead of what is written, day by day, never as a whole.

Its entry of the ledger covers what is written and one slice more: a prompt and one draw of a window. With a new
day the entry is settled and another begun, so that each day's tokens are counted to that day. Where the tenant's
day has no room for the next slice, the book is held; a scheduler lets it go on when there is room again.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from uuid import UUID

from sqlalchemy.orm import Session

from quire.store import ledger, slices
from quire.store.slices import Book


def first(prompt_tokens: int, max_tokens: int, estimate: int) -> int:
    """Return the tokens that a book reserves when it is submitted."""
    return prompt_tokens + min(max_tokens, estimate)


def without_room(books: Collection[Book], written: Mapping[UUID, int]) -> set[UUID]:
    """Return the books whose next slice does not fit into their tenant's day, by the tokens each has written.

    Looked at without a lock: books of one tenant that ask at once may pass its limit by a slice each.
    """
    limited = [(book, book.most) for book in books if book.most is not None]
    return {book.id for book, most in limited if book.used + _ahead(book, written[book.id]) > most}


def without_room_in_turn(books: Iterable[Book], written: Mapping[UUID, int]) -> set[UUID]:
    """Return the books that get no slice where each tenant's take theirs one after the other.

    Behind the first without room none of its tenant gets one: the largest would never.
    """
    spent: Counter[UUID] = Counter()
    full: set[UUID] = set()
    refused: set[UUID] = set()
    for book in books:
        spent[book.tenant_id] += _ahead(book, written[book.id])
        if book.most is not None and book.used + spent[book.tenant_id] > book.most:
            full.add(book.tenant_id)
        if book.tenant_id in full:
            refused.add(book.id)
    return refused


def reserve(
    session: Session, books: Collection[Book], written: Mapping[UUID, int], *, stopping: Collection[UUID] = ()
) -> None:
    """Reserve what each book has written, and a slice more for those that run on; last, as accounts stay locked.

    `stopping`: those that do not, because they are held or over.
    """
    for book in books:
        if book.id in stopping:
            slices.reserve(session, book, _missing(book, written[book.id]))
        elif book.day == book.today:
            slices.reserve(session, book, _missing(book, _next(book, written[book.id])))
        else:
            slices.reserve(session, book, _missing(book, written[book.id]))
            ledger.settle(session, [(book.id, book.prompt_tokens, written[book.id])])
            slices.add_entry(session, book, _next(book, written[book.id]) - written[book.id])


def _next(book: Book, written: int) -> int:
    """Return how far the book will be after one more slice."""
    return min(written + book.slice, max(written, book.max_tokens))


def _missing(book: Book, reach: int) -> int:
    """Return what its entry lacks to cover the book up to a token."""
    return max(0, book.prompt_tokens + reach - book.billed - book.reserved)


def _ahead(book: Book, written: int) -> int:
    """Return what one more slice takes from today's account."""
    reach = _next(book, written)
    return _missing(book, reach) if book.day == book.today else reach - written
