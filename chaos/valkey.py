"""A Valkey whose disk can be full, and whose data can be taken away."""

import resource
import shutil
import sys
from dataclasses import replace
from pathlib import Path

from quire.embedded.valkey import Valkey
from quire.supervisor import Child

WRAPPER = Path(__file__).with_name("ignoring.py")
LOG_FOLDER = "appendonlydir"


class FragileValkey(Valkey):
    """The embedded Valkey, started so that it lives through a limit on the size of its files."""

    def child(self, port: int, lock: int) -> Child:
        child = super().child(port, lock)
        return replace(child, command=[sys.executable, "-I", "-S", str(WRAPPER), *child.command])

    def forget(self) -> None:
        """Remove what it keeps on disk. It must be down."""
        shutil.rmtree(self.directory / LOG_FOLDER, ignore_errors=True)


def fill_disk(pid: int) -> bool:
    """Have every further write of a process to a file fail, for root as well; False where the system cannot.

    Not a full file system, which takes a mount and so root; the server sees EFBIG in place of ENOSPC, by the
    same path of its code.
    """
    if not hasattr(resource, "prlimit"):  # macOS
        return False
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
    return True


def free_disk(pid: int) -> None:
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
