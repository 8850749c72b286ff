"""Long polls: answers held back until a job has moved.

One thread of the process listens for notices over Redis and rings the bells of the waiters. A notice may be
lost, and Postgres is the truth: so another thread asks it once a second which of the jobs that are waited for have
ended, in one query for all. Who waits for any change looks by himself. While somebody waits he holds a thread of
the server, and no connection.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol
from uuid import UUID

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
RESTART_SECONDS = 1.0

Ended = Callable[[Sequence[UUID]], Iterable[UUID]]


class Listens(Protocol):
    """Where notices come from; `quire.messages.Notices` is one."""

    def listen(self, on_notice: Callable[[UUID], None], stop: threading.Event) -> None: ...


class WaitingRoom:
    """Waiters, each with a seat. The seats are few: a waiter holds a thread that others may need.

    `ended` tells which of some jobs are neither queued nor running.
    """

    def __init__(
        self,
        notices: Listens,
        *,
        ended: Ended,
        seats: int,
        longest: float,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self.longest = longest  # seconds
        self._notices = notices
        self._ended = ended
        self._seats = seats
        self._look_seconds = look_seconds
        self._lock = threading.Lock()
        self._bells: dict[UUID, set[threading.Event]] = {}
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
        with self._seat(job_id) as bell:
            if bell is None:
                return None
            deadline = time.monotonic() + seconds
            while True:
                bell.clear()  # before looking: what happens from here on rings again
                if settled() or self._stop.is_set():
                    return seconds
                left = deadline - time.monotonic()
                if left <= 0:
                    return seconds
                bell.wait(min(left, self._look_seconds) if by_itself else left)

    def ring(self, job_id: UUID) -> None:
        """Have those who wait for a job look at it now."""
        with self._lock:
            bells = list(self._bells.get(job_id, ()))
        for bell in bells:
            bell.set()

    def dismiss(self) -> None:
        """Let everybody go within a second, and nobody wait again. Takes no lock: a signal handler may call it."""
        self._stop.set()

    def close(self) -> None:
        """Let everybody go, and stop listening."""
        self.dismiss()
        self._ring_all()
        for thread in self._threads:
            thread.join(timeout=2 * LOOK_SECONDS)

    def _ring_all(self) -> None:
        with self._lock:
            bells = [bell for ringing in self._bells.values() for bell in ringing]
        for bell in bells:
            bell.set()

    @contextmanager
    def _seat(self, job_id: UUID) -> Iterator[threading.Event | None]:
        bell = threading.Event()
        with self._lock:
            free = self._taken < self._seats
            if free:
                self._taken += 1
                self._bells.setdefault(job_id, set()).add(bell)
                self._start_threads()
        try:
            yield bell if free else None
        finally:
            if free:
                with self._lock:
                    self._taken -= 1
                    self._bells[job_id].discard(bell)
                    if not self._bells[job_id]:
                        del self._bells[job_id]

    def _start_threads(self) -> None:
        # With the first waiter and not before: a web server may fork after building the app.
        if not self._threads:
            for name, role in (("notices", self._listen), ("ends", self._watch)):
                self._threads.append(threading.Thread(target=role, name=name, daemon=True))
                self._threads[-1].start()

    def _watch(self) -> None:
        while not self._stop.wait(self._look_seconds):
            with self._lock:
                jobs = list(self._bells)
            try:
                ended = self._ended(jobs) if jobs else ()
            except Exception as error:  # noqa: BLE001 - whatever it is, the waiters are told when they look
                log.warning("ends unknown", extra={"action": "ends_unknown", "error": str(error)})
                ended = jobs
            for job in ended:
                self.ring(job)
        self._ring_all()

    def _listen(self) -> None:
        while not self._stop.is_set():
            try:
                self._notices.listen(self.ring, self._stop)
            except Exception:
                log.exception("notices failed", extra={"action": "notices_failed"})
            self._stop.wait(RESTART_SECONDS)
