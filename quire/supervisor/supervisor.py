"""Keeps a few child processes alive, and leaves none behind.

Everything happens in the thread that calls `start`, `pause` and `stop`. It must be the one that lives
longest: on Linux a child gets its `orphan_signal` when the thread that started it ends.
"""

import contextlib
import itertools
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Self, TextIO

from quire.supervisor.child import Child, Run
from quire.supervisor.guard import Guard, signal_group

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.05  # how soon an exit or a signal is noticed
FAILURES = 3  # exits in a row that mean more than bad luck
HURRIED_GRACE = 2.0  # what is left of a child's grace after a second Ctrl-C


class StopRequested(Exception):
    """SIGINT, SIGTERM or SIGHUP arrived."""


class ChildFailed(Exception):
    """A child that was to succeed did not; the message ends with the end of its log."""


class Supervisor:
    """Runs children, restarts them, stops them.

    `on_exit(name, pid)` is called within `LOOK_SECONDS` of an exit, before the restart; what it raises is
    logged. `terminal` is where children with `echo` are shown as well as in `logs`, a file for each.
    """

    def __init__(self, logs: Path, *, terminal: TextIO | None = None) -> None:
        logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._logs = logs
        self.on_exit: Callable[[str, int], None] | None = None
        self._terminal = terminal
        self._runs: dict[str, Run] = {}
        self._requests = 0
        self._guard = Guard()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.stop()
        self._guard.close()

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """While this lasts, signals do not interrupt: the next `pause` raises `StopRequested` instead."""
        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # what nohup asks for is respected
            numbers.append(signal.SIGHUP)
        previous = {number: signal.signal(number, self._note_request) for number in numbers}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def start(self, child: Child, *, restart: bool = True) -> subprocess.Popen[bytes]:
        """Starts a child, in place of a dead one of the same name if there is one."""
        run = Run(child, self._logs / f"{child.name}.log", restart=restart)
        self._runs[child.name] = run
        return self._spawn(run)

    def keep(self, name: str) -> None:
        """From now on, restarts a child that was started without `restart`."""
        self._runs[name].restart = True

    def run(self, child: Child, *, seconds: float) -> None:
        """Runs a child to its end.

        Raises:
            ChildFailed: it exited with an error, or had not ended after `seconds`.
            StopRequested: a signal arrived; the child is ended by `stop`.

        """
        process = self.start(child, restart=False)
        deadline = time.monotonic() + seconds
        while process.poll() is None and time.monotonic() < deadline:
            self.pause(LOOK_SECONDS)
        if process.poll() != 0:
            raise ChildFailed(f"{child.name} {_outcome(process.returncode)}:\n{self.tail(child.name)}")
        self.stop(child.name)

    def pause(self, seconds: float) -> None:
        """Lets time pass and looks after the children.

        Raises:
            StopRequested: a signal arrived, before or during the pause.

        """
        deadline = time.monotonic() + seconds
        while True:
            if self._requests:
                raise StopRequested
            self._tend()
            left = deadline - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(LOOK_SECONDS, left))

    def pid(self, name: str) -> int | None:
        """The child's process id, or None while it is not running."""
        run = self._runs.get(name)
        return run.process.pid if run and run.process and run.alive else None

    def fails(self, name: str) -> bool:
        """Whether the child exited several times in a row, or once for good."""
        run = self._runs[name]
        return run.refuses or run.exits >= FAILURES

    def tail(self, name: str, lines: int = 20) -> str:
        """The end of the child's log."""
        return self._runs[name].tail(lines)

    def stop(self, *names: str) -> None:
        """Ends these children, or all, the highest stage first; returns when they are gone."""
        runs = [run for name, run in self._runs.items() if not names or name in names]
        runs.sort(key=lambda run: run.child.stage, reverse=True)
        for _, stage in itertools.groupby(runs, key=lambda run: run.child.stage):
            self._stop_together(list(stage))

    def _stop_together(self, runs: list[Run]) -> None:
        began = time.monotonic()
        for run in runs:
            run.restart = False
            if run.alive and run.process:
                run.process.send_signal(run.child.stop_signal)
        while alive := [run for run in runs if run.alive]:
            self._kill_the_late(alive, time.monotonic() - began)
            time.sleep(LOOK_SECONDS / 5)
        for run in runs:
            self._settle(run)
            del self._runs[run.child.name]

    def _kill_the_late(self, runs: list[Run], waited: float) -> None:
        for run in runs:
            grace = min(run.child.grace, HURRIED_GRACE) if self._requests > 1 else run.child.grace
            if waited > grace and run.process:
                logger.warning("%s did not stop within %g s and is killed", run.child.name, grace)
                signal_group(run.process.pid, signal.SIGKILL)

    def _note_request(self, _number: int, _frame: FrameType | None) -> None:
        self._requests += 1

    def _spawn(self, run: Run) -> subprocess.Popen[bytes]:
        process = run.spawn()
        self._guard.remember(process.pid, run.child.orphan_signal)
        return process

    def _tend(self) -> None:
        for run in self._runs.values():
            if run.process is not None and not run.alive:
                self._settle(run)
            if run.due is not None and time.monotonic() >= run.due:
                self._start_again(run)
            run.trim()
            self._show(run)

    def _settle(self, run: Run) -> None:
        """Deals with an exit, once: what the process left behind, who wants to know, when to start again."""
        process, run.process = run.process, None
        if process is None:
            return
        signal_group(process.pid, signal.SIGKILL)
        self._guard.forget(process.pid)
        self._show(run)
        if self.on_exit is not None:
            try:
                self.on_exit(run.child.name, process.pid)
            except Exception:
                logger.exception("the exit hook failed for %s, pid %d", run.child.name, process.pid)
        run.refuses = process.returncode == os.EX_CONFIG
        if run.refuses:
            logger.error("%s refuses its configuration and is not started again", run.child.name)
        elif run.restart:
            run.plan_restart()
            logger.warning("%s %s and is started again", run.child.name, _outcome(process.returncode))

    def _start_again(self, run: Run) -> None:
        try:
            self._spawn(run)
        except OSError:
            logger.exception("%s cannot be started", run.child.name)
            run.plan_restart()

    def _show(self, run: Run) -> None:
        if self._terminal is None or not run.child.echo:
            return
        try:
            run.show(self._terminal)
        except OSError:  # the terminal was closed; the log files go on
            self._terminal = None


def _outcome(code: int | None) -> str:
    if code is None:
        return "did not end in time"
    return f"exited with {code}" if code >= 0 else f"was ended by {signal.Signals(-code).name}"
