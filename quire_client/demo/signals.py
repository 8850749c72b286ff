"""Ctrl-C and its like, so that they can arrive at any moment and nothing stays behind."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Self

CAUGHT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(KeyboardInterrupt):
    """A signal asks the demo to end."""

    def __init__(self, number: int) -> None:
        self.exit_code = 128 + number
        super().__init__(f"stopped by {signal.Signals(number).name}")


class Signals:
    """Raise `Stopped` at the first signal; count those that follow, for whoever cleans up."""

    def __init__(self) -> None:
        self.count = 0
        self._number = 0
        self._held = False

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._arrive) for number in CAUGHT}
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Finish what must not be cut in two; a first signal that came meanwhile is raised after it."""
        before = self.count
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if not before and self.count:
            raise Stopped(self._number)

    def _arrive(self, number: int, _frame: FrameType | None) -> None:
        self.count += 1
        self._number = self._number or number
        if self.count == 1 and not self._held:
            raise Stopped(number)
