"""Long polls and event streams: answers held back until a job has moved.

One thread of the process listens for notices over Redis and rings the bells of the waiters. A notice may be
lost, and Postgres is the truth: so another thread asks it once a second where the jobs stand that are waited for,
in one query for all. Who waits for what is not the job's own, as its place in the queue, looks by himself.
A third tells the workers which jobs are being read, at once and every second, so that they commit these sooner.
While somebody waits he holds a thread of the server, and no connection.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Protocol
from uuid import UUID

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
RESTART_SECONDS = 1.0
TELL_SECONDS = 1.0  # workers believe for some seconds that a job is being read


class Mark(NamedTuple):
    """Where a job stands: it has moved if its mark is another one."""

    over: bool
    step: tuple[object, ...] = ()


GONE = Mark(over=True)
Tell = Callable[[Sequence[UUID]], None]
Marks = Callable[[Sequence[UUID]], Mapping[UUID, Mark]]  # of jobs that are not there, none


class Listens(Protocol):
    """Where notices come from; `quire.messages.Notices` is one."""

    def listen(self, on_notice: Callable[[UUID], None], stop: threading.Event) -> None: ...


class Seat:
    """The place of one waiter, and his bell."""

    def __init__(self, *, every_change: bool) -> None:
        self.every_change = every_change
        self._bell = threading.Event()

    def clear(self) -> None:
        """To be called before looking: what happens from then on rings again."""
        self._bell.clear()

    def ring(self) -> None:
        self._bell.set()

    def wait(self, seconds: float) -> bool:
        """Wait for the bell; False if it did not ring in time."""
        return self._bell.wait(seconds)


class WaitingRoom:
    """Waiters, each with a seat. The seats are few: a waiter holds a thread that others may need."""

    def __init__(
        self,
        notices: Listens,
        *,
        marks: Marks,
        seats: int,
        longest: float,
        look_seconds: float = LOOK_SECONDS,
        tell_read: Tell = lambda _: None,
    ) -> None:
        self.longest = longest  # seconds
        self._notices = notices
        self._marks = marks
        self._seats = seats
        self._look_seconds = look_seconds
        self._tell_read = tell_read
        self._reader_came = threading.Event()
        self._lock = threading.Lock()
        self._waiters: dict[UUID, set[Seat]] = {}
        self._taken = 0
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    @property
    def taken(self) -> int:
        """Seats in use."""
        return self._taken

    def hold(
        self, job_id: UUID, settled: Callable[[], bool], seconds: float, *, by_itself: bool = False
    ) -> float | None:
        """Wait until `settled`, which looks at Postgres, says so, but no longer than `seconds`.

        It is asked at each notice, at the end of the job, and once a second if it looks `by_itself`.

        Returns how long it might have waited, which is never more than `longest`; None if there was no seat.
        What `settled` raises comes through.
        """
        seconds = min(seconds, self.longest)
        if seconds <= 0:
            return None
        with self.seat(job_id) as seat:
            if seat is None:
                return None
            deadline = time.monotonic() + seconds
            while True:
                seat.clear()
                if settled() or self._stop.is_set():
                    return seconds
                left = deadline - time.monotonic()
                if left <= 0:
                    return seconds
                seat.wait(min(left, self._look_seconds) if by_itself else left)

    def ring(self, job_id: UUID) -> None:
        """Have those who wait for a job look at it now."""
        for seat in self._seats_of(job_id):
            seat.ring()

    @property
    def dismissed(self) -> bool:
        """Whether everybody is to go."""
        return self._stop.is_set()

    def dismiss(self) -> None:
        """Let everybody go within a second, and nobody wait again. Takes no lock: a signal handler may call it."""
        self._stop.set()

    def close(self) -> None:
        """Let everybody go, and stop listening."""
        self.dismiss()
        self._reader_came.set()
        self._ring_all()
        for thread in self._threads:
            thread.join(timeout=2 * LOOK_SECONDS)

    @contextmanager
    def seat(self, *job_ids: UUID, every_change: bool = False) -> Iterator[Seat | None]:
        """Hold a seat; None if all are taken. Its bell rings at each notice, and within a second after the end of
        one of the jobs, or after each of their changes.
        """
        seat = Seat(every_change=every_change)
        with self._lock:
            free = self._taken < self._seats
            if free:
                self._taken += 1
                for job_id in job_ids:
                    self._waiters.setdefault(job_id, set()).add(seat)
                self._start_threads()
        if free and every_change:
            self._reader_came.set()
        try:
            yield seat if free else None
        finally:
            if free:
                with self._lock:
                    self._taken -= 1
                    for job_id in job_ids:
                        self._waiters[job_id].discard(seat)
                        if not self._waiters[job_id]:
                            del self._waiters[job_id]

    def _seats_of(self, job_id: UUID) -> list[Seat]:
        with self._lock:
            return list(self._waiters.get(job_id, ()))

    def _ring_all(self) -> None:
        with self._lock:
            seats = [seat for waiting in self._waiters.values() for seat in waiting]
        for seat in seats:
            seat.ring()

    def _start_threads(self) -> None:
        # With the first waiter and not before: a web server may fork after building the app.
        if not self._threads:
            for name, role in (("notices", self._listen), ("ends", self._watch), ("readers", self._tell)):
                self._threads.append(threading.Thread(target=role, name=name, daemon=True))
                self._threads[-1].start()

    def _watch(self) -> None:
        seen: Mapping[UUID, Mark] = {}
        while not self._stop.wait(self._look_seconds):
            with self._lock:
                jobs = list(self._waiters)
            try:
                marks = self._marks(jobs) if jobs else {}
            except Exception as error:  # noqa: BLE001 - whatever it is, the waiters are told when they look
                log.warning("marks unknown", extra={"action": "marks_unknown", "error": str(error)})
                marks = {}
            for job in jobs:
                mark = marks.get(job, GONE)
                for seat in self._seats_of(job):
                    if mark.over or (seat.every_change and mark != seen.get(job)):
                        seat.ring()
            seen = marks
        self._ring_all()

    def _tell(self) -> None:
        while not self._stop.is_set():
            self._reader_came.wait(TELL_SECONDS)
            self._reader_came.clear()
            with self._lock:
                read = [job for job, seats in self._waiters.items() if any(seat.every_change for seat in seats)]
            if read:
                self._tell_read(read)

    def _listen(self) -> None:
        while not self._stop.is_set():
            try:
                self._notices.listen(self.ring, self._stop)
            except Exception:
                log.exception("notices failed", extra={"action": "notices_failed"})
            self._stop.wait(RESTART_SECONDS)
