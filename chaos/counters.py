"""Numbers that outlive the process that counts."""

import mmap
import os
import struct
import time
from pathlib import Path

VARIABLE = "CHAOS_COUNTERS"  # names the folder of a run's counters


class Counter:
    """A number in a file, which is right also after its process was killed."""

    def __init__(self, folder: Path) -> None:
        path = folder / f"{os.getpid()}-{time.monotonic_ns()}"
        path.write_bytes(bytes(8))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 8)
        self._value = 0

    def add(self, number: int) -> None:
        """To be called by one thread alone."""
        self._value += number
        self._memory[:8] = struct.pack("<q", self._value)


def total(folder: Path) -> int:
    """Return what all counters of a folder say together."""
    return sum(struct.unpack("<q", path.read_bytes())[0] for path in folder.iterdir())
