"""The system as a child of the demo: started, awaited, and stopped whatever happens."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from quire_client.demo.signals import Signals
from quire_client.errors import QuireError

READY_SECONDS = 180.0
STOP_SECONDS = 30.0
LOOK_SECONDS = 0.1
INSISTENCE = 3  # signals in all; a killed system has no time to put its databases away
TAIL_LINES = 30
# The demo has its own databases and secrets; those of a real system nearby are none of its business.
NOT_OURS = frozenset({"QUIRE_DATABASE_URL", "QUIRE_REDIS_URL", "QUIRE_MASTER_KEYS", "QUIRE_ADMIN_TOKEN"})


class SystemFailedError(QuireError):
    """The system did not come up."""


@dataclass(frozen=True)
class Ready:
    """What the system says about itself once it takes jobs."""

    url: str
    admin_token: str


class System:
    """`python -m quire.local` in a session of its own, so that Ctrl-C reaches only the demo.

    Its files stand beside the data directory: `NAME.log`, `NAME.ready.json` and `NAME.lock`. The lock
    is inherited by the child. Whoever holds it is alive, so an orphan of a demo that was killed is
    recognised without guessing by process numbers.
    """

    def __init__(self, checkout: Path, data: Path, signals: Signals) -> None:
        self._checkout = checkout
        self._data = data
        self._signals = signals
        self._child: subprocess.Popen[bytes] | None = None
        self._lock: IO[str] | None = None
        self.log = self._beside(".log")
        self.files = self._beside(".tunes")

    def start(self, tell: Callable[[str], None]) -> None:
        """Start the child; `tell` hears of anything that makes it take longer.

        Raises:
            SystemFailedError: another demo is running on the same data.

        """
        self._data.parent.mkdir(parents=True, exist_ok=True)
        lock = self._claim(tell)
        ready = self._beside(".ready.json")
        ready.unlink(missing_ok=True)
        arguments = ["--data", str(self._data), "--port", "0", "--ready-file", str(ready), "--quiet"]
        with self._signals.held(), self.log.open("wb") as log:
            self._child = subprocess.Popen(  # noqa: S603 - every word of it is ours
                [sys.executable, "-P", "-m", "quire.local", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=[lock.fileno()],
                env=_environment(self._checkout),
            )
            _sign(lock, self._child.pid)

    def ready(self) -> Ready:
        """Wait until jobs are taken.

        Raises:
            SystemFailedError: the child ended, or took too long.

        """
        end = time.monotonic() + READY_SECONDS
        while time.monotonic() < end:
            if told := self._told():
                return told
            if self._child is None or self._child.poll() is not None:
                raise SystemFailedError(f"the system ended at start with code {self.exit_code}")
            time.sleep(LOOK_SECONDS)
        raise SystemFailedError(f"the system was not ready after {READY_SECONDS:g} s")

    @property
    def started(self) -> bool:
        return self._child is not None

    @property
    def exit_code(self) -> int | None:
        return self._child.poll() if self._child else None

    def stop(self) -> None:
        """Ask the child to end, and kill its group if it does not, or if the person insists."""
        if self._child:
            self._child.terminate()
            end = time.monotonic() + STOP_SECONDS
            while self._child.poll() is None and time.monotonic() < end and self._signals.count < INSISTENCE:
                time.sleep(LOOK_SECONDS)
            with suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGKILL)
            self._child.wait()
        if self._lock:
            self._lock.close()

    def tail(self) -> str:
        """Return the last lines that the child printed, if it was started."""
        if not self.started:
            return ""
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return ""
        return "\n".join(lines[-TAIL_LINES:])

    def _beside(self, suffix: str) -> Path:
        return self._data.with_name(self._data.name + suffix)

    def _told(self) -> Ready | None:
        try:
            told = json.loads(self._beside(".ready.json").read_text(encoding="utf-8"))
            return Ready(told["url"], told["admin_token"])
        except (FileNotFoundError, json.JSONDecodeError):
            return None  # not yet there, or not yet whole

    def _claim(self, tell: Callable[[str], None]) -> IO[str]:
        self._lock = lock = self._beside(".lock").open("a+", encoding="utf-8")
        if not _locked(lock):
            demo, system = _signature(lock)
            if demo is not None and _alive(demo):
                raise SystemFailedError(f"another demo is running here, as process {demo}")
            tell("ending what a demo that was killed has left running")
            if not (system and _cleared(lock, system)):
                raise SystemFailedError(f"something still uses {self._data}; end it first")
        _sign(lock, None)
        return lock


def _environment(checkout: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in NOT_OURS}
    paths = [str(checkout), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**kept, "PYTHONPATH": os.pathsep.join(paths)}


def _locked(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sign(lock: IO[str], child: int | None) -> None:
    """Leave word of who is here: the demo, and its child if there is one."""
    lock.truncate(0)
    lock.write(json.dumps([os.getpid(), child]))
    lock.flush()


def _signature(lock: IO[str]) -> tuple[int | None, int | None]:
    lock.seek(0)
    try:
        demo, system = json.loads(lock.read())
    except ValueError:
        return None, None
    return demo, system


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _cleared(lock: IO[str], orphan: int) -> bool:
    """End what a killed demo left behind: it still holds the lock, so the number is still its own."""
    for end_it, number in ((os.kill, signal.SIGTERM), (os.killpg, signal.SIGKILL)):
        with suppress(ProcessLookupError):
            end_it(orphan, number)
        end = time.monotonic() + STOP_SECONDS
        while time.monotonic() < end:
            if _locked(lock):
                return True
            time.sleep(LOOK_SECONDS)
    return False
