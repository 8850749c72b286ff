import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from quire.embedded.home import make_directory
from quire.errors import ConfigurationError


class AlreadyRunning(ConfigurationError):
    """Another process runs on this data directory."""


@contextmanager
def only_one(data: Path) -> Iterator[None]:
    """Makes the data directory and holds its lock, which ends with this process, however it ends.

    Raises:
        AlreadyRunning: another process holds it.

    """
    make_directory(data)
    with (data / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise AlreadyRunning(f"Process {lock.read().strip()} already runs on {data}.") from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield
