"""Waiting for the jobs of a request in the waiting room, and giving them up when nobody waits any more."""

import logging
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager

from sqlalchemy.exc import SQLAlchemyError

from api import responses
from api.events import Event, Quiet
from api.following import Reading
from api.openai.errors import ClientLeft, Stopping, TookTooLong
from api.openai.orders import Order, Orders
from api.presence import Left
from api.reading import JobReader
from api.waiting import Seat, WaitingRoom
from quire import jobs
from quire.database import Database
from quire.errors import NotFound, TooManyReaders
from quire.store.chunk import START

log = logging.getLogger(__name__)

PRESENCE_SECONDS = 0.5  # how often a client is looked for

Told = tuple[int, Event]  # the number of the job in its order, and what happened to it


class Attending:
    """Attends to orders, each on a thread of its own. `longest`, `heartbeat`: seconds, as for readers of events.

    A seat is taken before anything is queued: who finds none has caused nothing. When a request is given up, by
    its client, by the server's stop or for its length, its jobs are cancelled, unless their client can come back
    for them.
    """

    def __init__(
        self,
        *,
        database: Database,
        orders: Orders,
        reader: JobReader,
        room: WaitingRoom,
        longest: float,
        heartbeat: float,
    ) -> None:
        self._database = database
        self._orders = orders
        self._reader = reader
        self._room = room
        self._longest = longest
        self._heartbeat = heartbeat

    def finish(self, order: Order, left: Left) -> list[responses.Job]:
        """Queue an order, wait for it, and return its jobs, all of them over.

        Raises:
            TooManyReaders: all seats are taken.
            ClientLeft, Stopping, TookTooLong: it was given up.

        """
        with self._attended(order, every_change=False) as seat:
            waited_for = list(order.jobs)
            for _ in self._rounds(seat, left):
                while waited_for and self._reader.is_terminal(order.tenant_id, waited_for[0]):
                    waited_for.pop(0)
                if not waited_for:
                    break
            return self.jobs(order)

    def follow(self, order: Order, left: Left, *, keep: bool = False) -> Generator[Told]:
        """Queue an order, and yield what happens to its jobs, up to their last states. Raises as `finish`.

        `keep`: they go on when it is given up.
        """
        with self._attended(order, every_change=True, keep=keep) as seat:
            readings = [Reading(START) for _ in order.jobs]
            for rang in self._rounds(seat, left):
                news = [
                    (number, event)
                    for number, (job, reading) in enumerate(zip(order.jobs, readings, strict=True))
                    if not reading.over
                    for event in reading.take(self._reader.look(order.tenant_id, job, reading.position))
                ]
                yield from news if news or rang else [(0, Quiet())]
                if all(reading.over for reading in readings):
                    return

    def jobs(self, order: Order) -> list[responses.Job]:
        return [self._reader.one(order.tenant_id, job) for job in order.jobs]

    @contextmanager
    def _attended(self, order: Order, *, every_change: bool, keep: bool = False) -> Iterator[Seat]:
        with self._room.seat(*order.jobs, every_change=every_change) as seat:
            if seat is None:
                raise TooManyReaders
            self._orders.place(order)
            try:
                yield seat
            except BaseException:  # the closing of a generator too, which is how a stream learns that nobody reads
                if not (keep or order.is_kept):
                    self._give_up(order)
                raise

    def _rounds(self, seat: Seat, left: Left) -> Iterator[bool]:
        """Yield at once, and each time there may be something to see: True if the bell rang."""
        deadline, spoke = time.monotonic() + self._longest, time.monotonic()
        seat.clear()
        yield True
        while True:
            rang = seat.wait(PRESENCE_SECONDS)
            if left():
                raise ClientLeft
            if self._room.dismissed:
                raise Stopping
            now = time.monotonic()
            if now > deadline:
                raise TookTooLong
            if rang or now - spoke >= self._heartbeat:
                spoke = now
                seat.clear()
                yield rang

    def _give_up(self, order: Order) -> None:
        for job in order.jobs:
            try:
                with self._database.tenant(order.tenant_id) as session:
                    jobs.cancel(session, order.tenant_id, job)
            except (NotFound, SQLAlchemyError) as error:  # deleted meanwhile; or it runs on, to its end
                log.warning("not given up", extra={"action": "not_given_up", "job": str(job), "error": str(error)})
