"""The processes of a chaos run: kept alive as `quire up` keeps them, and put down on purpose."""

import signal
import time
from collections.abc import Callable

from quire.supervisor import Supervisor
from quire.supervisor.guard import signal_group

GONE_SECONDS = 60.0


class Late(Exception):
    """What was waited for did not come."""


class Processes(Supervisor):
    """A supervisor whose children can be hit. Everything happens in the thread that made it, as there."""

    def strike(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Signal a child with all of its group. If it exits, it is started again."""
        pid = self.pid(name)
        if pid is not None:
            signal_group(pid, number)

    def put_down(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """End a child, and leave it down until `bring_up`."""
        run = self._runs[name]
        run.restart, run.due = False, None
        self.strike(name, number)
        self.until(lambda: run.process is None, GONE_SECONDS, f"{name} to be gone")

    def bring_up(self, name: str) -> None:
        """Start a child again; nothing if it runs."""
        if self.pid(name) is None:
            self.start(self._runs[name].child)

    def until(self, condition: Callable[[], object], seconds: float, what: str) -> float:
        """Look after the children until a condition holds; returns how long that took.

        Raises:
            Late: it did not hold in time; `what` says what was waited for.

        """
        begun = time.monotonic()
        while True:
            self.pause(0)
            if condition():
                return time.monotonic() - begun
            if time.monotonic() - begun > seconds:
                raise Late(f"waited {seconds:g} s for {what}")
            time.sleep(0.01)
