"""No orphans: what ends the children when the supervisor itself is killed.

Two walls. On Linux the kernel signals a child when the thread that started it ends. Everywhere, a guard
process holds the list of process groups and the reading end of a pipe; when the other end closes, however
that came about, it ends the groups, grandchildren included.

Only the standard library is imported here, because the guard is this file run as a script.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

GRACE = 8.0  # seconds between the first signal and SIGKILL; Postgres ends its own stragglers after 5
FORGET = "0"
_PR_SET_PDEATHSIG = 1
_prctl = getattr(ctypes.CDLL(None), "prctl", None)  # absent on macOS: there the guard does all the work


def dies_with_us(number: signal.Signals) -> Callable[[], None]:
    """What a child runs before its program starts, after it has changed its user (which would undo it)."""
    parent = os.getpid()

    def ask_the_kernel() -> None:
        if _prctl is not None:
            _prctl(_PR_SET_PDEATHSIG, int(number))
        if os.getppid() != parent:  # the parent died before it could be asked for
            os.kill(os.getpid(), signal.SIGKILL)

    return ask_the_kernel


def signal_group(group: int, number: signal.Signals) -> bool:
    """Whether there was anybody to signal."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # macOS answers EPERM for a group of zombies
        return False
    return True


class Guard:
    """The supervisor's end of the pipe."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603 -- our own file, by our own interpreter
            # Isolated and without site-packages: it starts in milliseconds and imports nothing by accident.
            [sys.executable, "-I", "-S", str(Path(__file__).resolve())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            text=True,
        )

    def remember(self, group: int, number: signal.Signals) -> None:
        self._tell(f"{group} {int(number)}\n")

    def forget(self, group: int) -> None:
        self._tell(f"{group} {FORGET}\n")

    def close(self) -> None:
        """To be called when every group was forgotten; ends those that were not."""
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate()

    def _tell(self, line: str) -> None:
        pipe = self._process.stdin
        if pipe is None or pipe.closed:
            return
        with contextlib.suppress(BrokenPipeError):  # somebody killed the guard; the kernel's wall still stands
            pipe.write(line)
            pipe.flush()


def watch() -> None:
    """The guard process: learns groups until the pipe closes, then ends those that are left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: dict[int, signal.Signals] = {}
    for line in sys.stdin:
        group, message = line.split()
        if message == FORGET:
            groups.pop(int(group), None)
        else:
            groups[int(group)] = signal.Signals(int(message))
    _end(groups)


def _end(groups: dict[int, signal.Signals]) -> None:
    deadline = time.monotonic() + GRACE
    left = [group for group, number in groups.items() if signal_group(group, number)]
    while left and time.monotonic() < deadline:
        time.sleep(0.05)
        left = [group for group in left if _exists(group)]
    for group in left:
        signal_group(group, signal.SIGKILL)


def _exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


if __name__ == "__main__":
    watch()
