"""The compiled kernels of each kind of processor, for tests that hold for all of them."""

import ctypes
import os
import platform
import shlex
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from worker.engine.backends.backend import Backend
from worker.engine.backends.native import NativeBackend
from worker.engine.backends.plain import PlainBackend
from worker.engine.native.library import LEVELS, Level, _load, compilable, path_of, usable


def _missing(level: Level) -> str | None:
    """Why the kernels of `level` cannot be run here; a compiler that did not compile them is no reason."""
    if level not in compilable():
        return "for another kind of machine"
    if level not in usable():
        return f"this processor lacks {', '.join(sorted(level.features)[:3])} …"
    compiler = shlex.split(os.environ.get("CC", "cc"))[0]
    if not path_of(level).exists() and shutil.which(compiler) is None:
        return "no compiler"
    return None


LEVEL = pytest.mark.parametrize(
    "level",
    [
        pytest.param(
            level, id=level.name, marks=pytest.mark.skipif(bool(_missing(level)), reason=_missing(level) or "")
        )
        for level in LEVELS
    ],
)
RUNNABLE = tuple(level for level in LEVELS if not _missing(level))
NATIVE = pytest.mark.skipif(not RUNNABLE, reason="there are no compiled kernels")


def fused(level: Level) -> bool:
    """Whether the code of `level` rounds once for a multiplication and the addition that follows."""
    return level.name != "plain" or platform.machine() in {"aarch64", "arm64"}


@cache
def library(level: Level) -> ctypes.CDLL:
    path = path_of(level)
    if not path.exists():
        pytest.fail(f"{path.name} is missing: run `make install`, or python -m worker.engine.native.build")
    return _ready(path)


def _ready(path: Path) -> ctypes.CDLL:
    found = _load(path)
    if found is None:
        pytest.skip("the system gives this process no tiles")
    return found


def fresh_library(level: Level) -> ctypes.CDLL:
    """Load the kernels once more, with threads of their own: there is only one until more are asked for."""
    with tempfile.TemporaryDirectory() as folder:
        copied = shutil.copy(path_of(level), Path(folder) / "kernels.so")
        return _ready(Path(copied))


def backend(level: Level, precision: str = "fp32", *, threads: int | None = None, spins: int = 0) -> NativeBackend:
    """Return a backend on the kernels of `level`; with `threads` it has so many threads of its own."""
    own = library(level) if threads is None else fresh_library(level)
    return NativeBackend(own, precision=precision, threads=threads or 2, spins=spins)


Make = Callable[[str], Backend]  # of a precision


def _made(level: Level) -> Make:
    return lambda precision: backend(level, precision)


def plain(precision: str) -> PlainBackend:
    return PlainBackend(precision=precision)


# The backends of CPUs.
EACH_BACKEND = pytest.mark.parametrize(
    "made", [plain, *map(_made, RUNNABLE)], ids=["torch", *(level.name for level in RUNNABLE)]
)
