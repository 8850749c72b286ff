"""Books give way: when all slots are taken and others wait who were served less, they go back to the queue."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol
from uuid import UUID

from quire.fairness import Waiting, giving_way
from quire.store.job import Run

# Looks at Postgres: for the tenants of the books, the lanes that wait, and the virtual times of their own lanes.
Look = Callable[[Collection[UUID]], tuple[Sequence[Waiting], Mapping[UUID, float]]]


class RunsBooks(Protocol):
    """`worker.runner.Runner`."""

    def books(self) -> dict[Run, UUID]: ...
    def give_way(self, run: Run) -> None: ...


class Preemption:
    """`seconds`: between two looks, for which a job may have to wait for the slot of a book that gets on."""

    def __init__(self, runner: RunsBooks, *, look: Look, full: Callable[[], bool], seconds: float) -> None:
        self._runner = runner
        self._look = look
        self._full = full
        self._seconds = seconds
        self._looked = time.monotonic()

    def step(self) -> None:
        """Have books give way if it is time to look and somebody waits; called after each commit."""
        if time.monotonic() - self._looked < self._seconds or not self._full():
            return
        books = self._runner.books()
        if not books:
            return
        self._looked = time.monotonic()
        waiting, virtual_times = self._look(set(books.values()))
        known = {run: tenant for run, tenant in books.items() if tenant in virtual_times}
        for run in giving_way(known, virtual_times, waiting):
            self._runner.give_way(run)
