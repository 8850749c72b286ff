"""The claimer: joins all slots that wait for a job into one claim."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future

from sqlalchemy.exc import SQLAlchemyError

from quire.jobs import Claimed

log = logging.getLogger(__name__)

Claim = Callable[[int], list[Claimed]]


class Claimer:
    """One thread that asks Postgres for jobs on behalf of all slots.

    `claim(k)` returns at most k jobs. When nobody asks for `idle_look` seconds it looks by itself and hands what
    it finds to `start`, so that a lost token costs a second and a lost Redis stops nothing.
    """

    def __init__(self, claim: Claim, *, slots: int, idle_look: float, start: Callable[[Claimed], None]) -> None:
        self._claim = claim
        self._free = slots
        self._idle_look = idle_look
        self._start = start
        self._asking: list[Future[Claimed | None]] = []
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="claimer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def next(self) -> Claimed | None:
        """Return a job for one slot, which the caller then holds until `release`; None if there is none."""
        answer: Future[Claimed | None] = Future()
        with self._changed:
            if self._closed:
                return None
            self._asking.append(answer)
            self._changed.notify()
        return answer.result()

    @property
    def full(self) -> bool:
        """Whether every slot is taken. Those that are being asked for are free until there is a job for them."""
        return self._free <= 0

    def occupy(self, slots: int) -> None:
        """Count so many more slots as taken, or fewer: each draw of a job needs one.

        They may be more than are free. What was claimed beyond the engine's slots would wait inside it, where
        nothing gives way.
        """
        with self._changed:
            self._free -= slots

    def release(self) -> None:
        """Give back the slot of a job that `next` or `start` was given."""
        self.occupy(-1)

    def close(self) -> None:
        """Claim no more; whoever asks gets None."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._asking or self._closed, timeout=self._idle_look)
                asking, self._asking = self._asking, []
                closed = self._closed
            if closed:
                _answer(asking, [])
                return
            self.step(asking)

    def step(self, asking: list[Future[Claimed | None]]) -> None:
        """One claim: for those who ask, or, if nobody does, for every free slot."""
        with self._changed:
            free = max(0, self._free)
            k = min(len(asking), free) if asking else free
        found = self._try(k)
        with self._changed:
            self._free -= len(found)
        if asking:
            _answer(asking, found)
            return
        for job in found:
            self._start(job)

    def _try(self, k: int) -> list[Claimed]:
        try:
            return self._claim(k) if k else []
        except SQLAlchemyError as error:
            log.warning("claim failed", extra={"action": "claim_failed", "error": str(error)})
            return []


def _answer(asking: list[Future[Claimed | None]], found: list[Claimed]) -> None:
    for index, answer in enumerate(asking):
        answer.set_result(found[index] if index < len(found) else None)
