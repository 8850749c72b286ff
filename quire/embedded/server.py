"""The life of one embedded server, whichever its kind."""

import fcntl
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, Self

from quire.errors import ConfigurationError
from quire.supervisor import Child, ChildFailed, Supervisor

PORT_ATTEMPTS = 5  # another process may take the port between our look and the server's
START_SECONDS = 60.0  # Postgres may have a log to replay
RELEASE_SECONDS = 15.0  # for the server of a killed supervisor to end
LOOK_SECONDS = 0.02


class Kind(Protocol):
    """What is particular to one kind of server."""

    name: str
    directory: Path

    def open(self) -> Path:
        """Makes the directories; answers the file whose lock means that the data is in use."""

    def prepare(self, supervisor: Supervisor) -> None:
        """Makes what the server needs, unless it was made before. The lock is held."""

    def child(self, port: int, lock: int) -> Child: ...
    def url(self, port: int) -> str: ...
    def answers(self, port: int) -> bool: ...

    def close(self) -> None:
        """Removes what need not be kept. The server is gone."""


class Server:
    """One server process; a context manager.

    With a `supervisor` it becomes one of its children, restarted on the same port and stopped with the others.
    Otherwise it has one of its own, and must be started from a thread that outlives it.
    """

    def __init__(self, kind: Kind, supervisor: Supervisor | None) -> None:
        self._kind = kind
        self._shared = supervisor
        self._supervisor: Supervisor | None = None
        self._lock: int | None = None
        self._port = 0

    @property
    def name(self) -> str:
        return self._kind.name

    @property
    def url(self) -> str:
        return self._kind.url(self._port)

    @property
    def pid(self) -> int | None:
        """None while it is not running."""
        return self._supervisor.pid(self._kind.name) if self._supervisor else None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Returns when the server answers.

        Raises:
            ConfigurationError: the directory cannot be used, or is in use.
            ChildFailed: the server did not start; the message ends with the end of its log.

        """
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        path = self._kind.open()
        supervisor = self._supervisor = self._shared or Supervisor(self._kind.directory / "logs")
        self._lock = _locked(path, supervisor.pause)
        self._kind.prepare(supervisor)
        for _ in range(PORT_ATTEMPTS):
            self._port = free_port()
            supervisor.start(self._kind.child(self._port, self._lock), restart=False)
            if self._answers(supervisor):
                supervisor.keep(self._kind.name)
                return
        raise ChildFailed(f"{self._kind.name} does not start:\n{supervisor.tail(self._kind.name)}")

    def stop(self) -> None:
        if self._supervisor is not None:
            self._supervisor.stop(self._kind.name)
            if self._shared is None:
                self._supervisor.close()
            self._supervisor = None
        if self._lock is not None:
            self._kind.close()
            os.close(self._lock)
            self._lock = None

    def _answers(self, supervisor: Supervisor) -> bool:
        """False: it exited, perhaps because the port was taken meanwhile."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if supervisor.pid(self._kind.name) is None:
                return False
            if self._kind.answers(self._port):
                return True
            supervisor.pause(LOOK_SECONDS)
        raise ChildFailed(f"{self._kind.name} does not answer:\n{supervisor.tail(self._kind.name)}")


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _locked(path: Path, pause: Callable[[float], None]) -> int:
    """The file, open and locked.

    The server inherits it, so that the lock lasts as long as any of its processes: who gets it knows that none
    is left, also after everybody was killed and process ids were given out anew.
    """
    deadline = time.monotonic() + RELEASE_SECONDS
    while (descriptor := _lock(path)) is None:
        if time.monotonic() > deadline:
            raise ConfigurationError(f"{path.parent} is in use by another server")
        pause(LOOK_SECONDS)
    return descriptor


def _lock(path: Path) -> int | None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
