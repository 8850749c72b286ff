"""Taking batches in: items a second, memory of the API under 200 MB, and how fast a batch is cancelled."""

import json
import threading
import time
from pathlib import Path

from bench.report import Figure
from bench.system import System
from quire_client import Quire

WORDS = "The harbour lay in the dark and the boats came home with the tide, number {n}. "


def write_items(path: Path, count: int, size: int = 0) -> None:
    """Write so many items, each a line, of about `size` bytes at least."""
    filler = {f"filler{k}": "x" * 500 for k in range(size // 520)}
    with path.open("w") as file:
        for n in range(count):
            item = {"prompt": WORDS.format(n=n), "max_tokens": 16, "custom_id": f"item-{n}", "metadata": filler}
            file.write(json.dumps(item) + "\n")


def accept(system: System, folder: Path, count: int) -> list[Figure]:
    """Send a batch, and cancel it while it runs."""
    path = folder / "items.jsonl"
    write_items(path, count)
    with system.client("bench-accept") as quire:
        began = time.monotonic()
        batch = quire.batches.submit(file=path)
        took = time.monotonic() - began
        time.sleep(2)
        began = time.monotonic()
        quire.batches.cancel(batch.id)
        cancelled = time.monotonic() - began
    return [
        Figure("accept_items", count, "items"),
        Figure("accept_rate", count / took, "items/s"),
        Figure("accept_seconds", took, "s"),
        Figure("cancel_seconds", cancelled, "s"),
    ]


def memory(system: System, folder: Path, megabytes: int) -> list[Figure]:
    """Send a file of so many megabytes and look at the API's memory meanwhile."""
    path = folder / "large.jsonl"
    each = 4_200  # bytes of an item: as much metadata as there may be
    write_items(path, megabytes * 1_000_000 // (each + 100), each)
    peak = _Peak(system)
    with system.client("bench-memory") as quire, peak:
        before = peak.now()
        _send(quire, path)
    return [
        Figure("memory_file", path.stat().st_size / 1e6, "MB"),
        Figure("memory_before", before / 1e6, "MB"),
        Figure("memory_peak", peak.most / 1e6, "MB"),
    ]


def _send(quire: Quire, path: Path) -> None:
    batch = quire.batches.submit(file=path)
    quire.batches.cancel(batch.id)


class _Peak:
    """Looks at the resident memory of all processes of the API, ten times a second."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.most = 0

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def now(self) -> int:
        return sum(_resident(pid) for pid in _family(self._system.supervisor.pid) if _is_api(pid))

    def _look(self) -> None:
        while not self._stop.wait(0.1):
            self.most = max(self.most, self.now())


def _family(root: int) -> set[int]:
    """Return a process and all below it."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue  # it has ended meanwhile
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def _is_api(pid: int) -> bool:
    try:
        return b"api.wsgi" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _resident(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    lines = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(lines[0].split()[1]) * 1024 if lines else 0
