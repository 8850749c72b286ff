"""What happens to a job, from any position of its text log to its end: events, whatever they are written as.

A position is (revision, offset), the place behind what one flush wrote, and stays one for as long as the job is
kept. A follower sits down in the waiting room before it looks at Postgres, so nothing falls in between; then it
looks whenever its bell rings. Whoever comes back with the position of the last text he has seen misses nothing and
sees nothing twice.
"""

import logging
import time
from collections.abc import Generator, Iterator
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError

from api.events import Event, Moved, Progressed, Quiet, Truncated, Written
from api.reading import JobReader, Look
from api.waiting import Seat, WaitingRoom
from quire.errors import NotFound, TooManyReaders
from quire.pieces import fold
from quire.store.chunk import START, Position
from quire.textlog import Passage

log = logging.getLogger(__name__)


class Follower:
    """Follows jobs for readers, each on a thread of its own that holds a seat of the room.

    `longest`: seconds after which a reader is sent away, to come back. `heartbeat`: seconds of silence after which
    `Quiet` is told, and the job's place in its queue looked at.
    """

    def __init__(self, reader: JobReader, room: WaitingRoom, *, longest: float, heartbeat: float) -> None:
        self._reader = reader
        self._room = room
        self._longest = longest
        self._heartbeat = heartbeat

    def follow(
        self, tenant_id: UUID, job_id: UUID, after: Position, *, seconds: float | None = None
    ) -> Generator[Event]:
        """Yield what happens to a job behind a position; the last event is its end, if it comes within `seconds`.

        What goes wrong before the first event is raised. Later it ends the events, and so does a dismissal.

        Raises:
            NotFound: the tenant has no such job.
            TooManyReaders: all seats are taken.

        """
        with self._room.seat(job_id, every_change=True) as seat:
            if seat is None:
                raise TooManyReaders
            reading = Reading(after)
            yield from self._first(seat, reading, tenant_id, job_id)
            deadline = time.monotonic() + min(seconds or self._longest, self._longest)
            while not reading.over and not self._room.dismissed:
                left = deadline - time.monotonic()
                if left <= 0:
                    return
                rang = seat.wait(min(left, self._heartbeat))
                seat.clear()
                try:
                    news = reading.take(self._reader.look(tenant_id, job_id, reading.position))
                except (SQLAlchemyError, NotFound) as error:  # he comes back, and is told what it is
                    log.info("reader sent away", extra={"action": "reader_sent_away", "error": str(error)})
                    return
                yield from news
                if not rang and not news:
                    yield Quiet()

    def _first(self, seat: Seat, reading: "Reading", tenant_id: UUID, job_id: UUID) -> list[Event]:
        seat.clear()
        return reading.take(self._reader.look(tenant_id, job_id, None))


class Reading:
    """How far one reader has got. `over`: he has seen the end."""

    def __init__(self, position: Position) -> None:
        self.position = position
        self.over = False
        self._moved: Moved | None = None
        self._progress: Progressed | None = None

    def take(self, look: Look) -> list[Event]:
        """Return what a look tells that the reader does not know."""
        moved, events = _moved(look), list(self._text(look))
        progress = Progressed(_tokens(look, self._progress), look.row.max_tokens)
        if progress != self._progress:
            events.insert(0, progress)
        if moved != self._moved:
            # An end comes behind the text, any other state before the text that is written in it.
            events.insert(len(events) if moved.state.is_terminal else 0, moved)
        self._moved, self._progress, self.over = moved, progress, moved.state.is_terminal
        return events

    def _text(self, look: Look) -> Iterator[Event]:
        if look.whole and self.position not in {START, *(passage.end for passage in look.passages)}:
            self.position = START
            yield Truncated(START)
        for passage in look.passages:
            if passage.start.offset >= self.position.offset:
                self.position = passage.end
                yield Written(passage.end, tuple(fold(passage.entries)))


def _moved(look: Look) -> Moved:
    row, standing = look.row, look.standing
    return Moved(
        row.state, standing.blocked_by, standing.position, standing.more, row.attempts, row.error, standing.eta
    )


def _tokens(look: Look, known: Progressed | None) -> int:
    if look.row.state.is_terminal:
        return look.row.completion_tokens
    if not look.passages:
        return known.tokens if known else 0
    last: Passage = look.passages[-1]
    return last.start.offset + last.tokens
