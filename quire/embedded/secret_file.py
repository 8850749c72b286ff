"""Files for their owner's eyes, never half written."""

import os
from collections.abc import Callable
from pathlib import Path


def write_private(path: Path, text: str) -> None:
    """Writes the whole file or nothing, mode 0600."""
    unfinished = path.with_name(path.name + ".new")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def kept_secret(path: Path, make: Callable[[], str]) -> str:
    """What the file says; made at the first call, the same ever after."""
    if not path.exists():
        write_private(path, make() + "\n")
    return path.read_text().strip()
