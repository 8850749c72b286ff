"""One child process of the supervisor: how to run it, its log, and when to start it again."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from quire.supervisor.guard import dies_with_us

FIRST_DELAY, LONGEST_DELAY = 0.1, 5.0  # seconds between an exit and the restart
HEALTHY_SECONDS = 30.0  # after which an exit counts as the first again
LOG_BYTES = 64 * 1024 * 1024  # of one log; then it becomes `.log.1` and starts again
SHOWN_BYTES = 64 * 1024  # at most, of one log in one look


@dataclass(frozen=True)
class Child:
    """How to run one process. Children of a higher `stage` are stopped first, those of one stage together."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str] | None = None  # None: the supervisor's own
    cwd: Path | None = None
    owner: tuple[int, int] | None = None  # uid and gid to run as; None: the supervisor's own
    inherit: tuple[int, ...] = ()  # file descriptors
    stage: int = 0
    stop_signal: signal.Signals = signal.SIGTERM
    orphan_signal: signal.Signals = signal.SIGKILL  # what it gets when the supervisor dies
    grace: float = 10.0  # seconds between the stop signal and SIGKILL
    echo: bool = False  # show the log in the terminal as well


class Run:
    """A child and what became of it."""

    def __init__(self, child: Child, log: Path, *, restart: bool) -> None:
        self.child = child
        self.log = log
        self.restart = restart
        self.process: subprocess.Popen[bytes] | None = None  # from the start until its exit was dealt with
        self.exits = 0  # in a row, without a healthy spell between them
        self.refuses = False  # it said that a restart does not help
        self.due: float | None = None  # when to start it again, on the monotonic clock
        self._started = 0.0
        self._shown = log.stat().st_size if log.exists() else 0

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def spawn(self) -> subprocess.Popen[bytes]:
        """Starts the process; its output is appended to the log by itself, so none is lost without us."""
        child = self.child
        uid, gid = child.owner or (None, None)
        descriptor = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            self.process = subprocess.Popen(  # noqa: S603 -- the commands are ours
                child.command,
                env=child.env,
                cwd=child.cwd,
                user=uid,
                group=gid,
                extra_groups=None if child.owner is None else [],
                pass_fds=child.inherit,
                umask=0o077,  # what they keep is nobody else's business
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                start_new_session=True,  # Ctrl-C in a terminal reaches the supervisor alone
                preexec_fn=dies_with_us(child.orphan_signal),  # noqa: PLW1509 -- system calls only
            )
        finally:
            os.close(descriptor)
        self._started = time.monotonic()
        self.due = None
        return self.process

    def plan_restart(self) -> None:
        """After an exit: at once at first, then ever later while it keeps failing."""
        now = time.monotonic()
        if now - self._started >= HEALTHY_SECONDS:
            self.exits = 0
        self.due = now + min(FIRST_DELAY * 2**self.exits, LONGEST_DELAY)
        self.exits += 1

    def show(self, terminal: TextIO) -> None:
        """Writes the log's new whole lines, each behind the child's name."""
        with self.log.open("rb") as log:
            log.seek(self._shown)
            text = log.read(SHOWN_BYTES)
        whole = len(text) if len(text) == SHOWN_BYTES else text.rfind(b"\n") + 1
        self._shown += whole
        terminal.writelines(
            f"{self.child.name:>9} | {line}\n" for line in text[:whole].decode(errors="replace").splitlines()
        )
        if whole:
            terminal.flush()

    def trim(self) -> None:
        """Starts the log again when it is full. A line written in this very moment may be lost."""
        if self.log.stat().st_size > LOG_BYTES:
            shutil.copyfile(self.log, self.log.with_suffix(".log.1"))
            os.truncate(self.log, 0)
            self._shown = 0

    def tail(self, lines: int) -> str:
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - SHOWN_BYTES))
            text = log.read().decode(errors="replace")
        return "\n".join(text.splitlines()[-lines:])
