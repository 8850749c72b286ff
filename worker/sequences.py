"""The sequences of one job in the engine: run together, cancelled together."""

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Protocol

from worker.engine import Delta, EngineCancelled, Finished, Request


class Lost(Exception):
    """The job is somebody else's by now."""


class Submits(Protocol):
    """What is asked of an engine."""

    def submit(self, request: Request, on_delta: Callable[[Delta], None]) -> Future[Finished]: ...
    def cancel(self, future: Future[Finished]) -> None: ...


class Sequences:
    """Runs plans, one after the other. `cancel` may come at any time from another thread, and ends all.

    `occupy` is told how many slots a plan takes beside the job's own, and when they are free again.
    """

    def __init__(self, engine: Submits, occupy: Callable[[int], None] = lambda _: None) -> None:
        self._engine = engine
        self._occupy = occupy
        self._futures: dict[int, Future[Finished]] = {}
        self._lock = threading.Lock()
        self._cancelled = False
        self.work = 0  # tokens given to the engine for prefill, and tokens it drew

    def run(
        self, plan: Mapping[int, Request], on_delta: Callable[[int, Delta], None]
    ) -> Iterator[tuple[int, Finished]]:
        """Run all draws at once; yields each with how it ended.

        Raises:
            EngineCancelled: `cancel` was called.
            Exception: what the engine raised for one of them; the others are cancelled.

        """
        more = max(0, len(plan) - 1)
        self._occupy(more)
        try:
            self._submit(plan, on_delta)
            for draw, future in self._futures.items():
                yield draw, future.result()
        finally:
            self._stop()
            self._occupy(-more)

    def cancel(self) -> None:
        """Stop what is still running, at the engine's next step, and run nothing more."""
        with self._lock:
            self._cancelled = True
        self._stop()

    def go_on(self) -> None:
        """See that nobody has cancelled.

        Raises:
            EngineCancelled: somebody has.

        """
        if self._cancelled:
            raise EngineCancelled

    def _stop(self) -> None:
        with self._lock:
            futures = list(self._futures.values())
        for future in futures:
            if not future.done():
                self._engine.cancel(future)

    def _submit(self, plan: Mapping[int, Request], on_delta: Callable[[int, Delta], None]) -> None:
        with self._lock:
            if self._cancelled:
                raise EngineCancelled
            self._futures = {}
            # Before the engine's thread begins to count what it draws.
            self.work += sum(len(request.prompt) + len(request.generated) for request in plan.values())
            for draw, request in plan.items():
                self._futures[draw] = self._engine.submit(request, partial(self._count, on_delta, draw))

    def _count(self, on_delta: Callable[[int, Delta], None], draw: int, delta: Delta) -> None:
        self.work += len(delta.tokens)
        on_delta(draw, delta)
