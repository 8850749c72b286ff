"""The gate to the engine: many jobs at once, or one job alone."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class GateClosed(Exception):
    """No job may enter any more."""


class Gate:
    """A job on its last attempt enters alone, so that its crash is known to be its own.

    One that waits to be alone goes before those that come later, or a busy worker would never let it in.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._alone = False
        self._waiting_alone = 0
        self._closed = False

    @contextmanager
    def enter(self, *, alone: bool) -> Iterator[None]:
        """Wait for a place and hold it.

        Raises:
            GateClosed: the gate was closed before there was one.

        """
        with self._changed:
            self._wait(alone=alone)
            self._inside += 1
            self._alone = alone
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._alone = False
                self._changed.notify_all()

    @property
    def closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _wait(self, *, alone: bool) -> None:
        self._waiting_alone += alone
        try:
            self._changed.wait_for(lambda: self._closed or self._may_enter(alone=alone))
        finally:
            self._waiting_alone -= alone
            self._changed.notify_all()
        if self._closed:
            raise GateClosed

    def _may_enter(self, *, alone: bool) -> bool:
        if alone:
            return self._inside == 0
        return not self._alone and self._waiting_alone == 0
