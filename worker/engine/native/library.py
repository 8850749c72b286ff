"""The compiled kernels: where they lie, whether this processor can run them, and what they take.

`python -m worker.engine.native.build` compiles them, once for each kind of processor; `make install` does.
Pointers are passed as numbers (`Tensor.data_ptr`); sizes and types are the caller's duty.
"""

import ctypes
import hashlib
import logging
import platform
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent
BUILT = FOLDER / "built"
# The multiple that widths and inner sizes must be of, that of head sizes, and how many columns lie together.
WIDTH_MULTIPLE, HEAD_MULTIPLE, PANEL = 64, 16, 32

_CPUINFO = Path("/proc/cpuinfo")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Level:
    """A kind of processor: what the compiler is told, and which features the processor must have."""

    name: str
    options: tuple[str, ...]
    features: frozenset[str]


# The best first. The last one is for whatever processor the compiler makes code for by itself.
_AVX512VNNI = ("-march=x86-64-v4", "-mavx512vnni", "-mprefer-vector-width=512")
LEVELS = (
    Level(
        "amx",
        (*_AVX512VNNI, "-mamx-tile", "-mamx-int8"),
        frozenset({"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "amx_tile", "amx_int8"}),
    ),
    Level(
        "avx512vnni",
        _AVX512VNNI,
        frozenset({"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "avx512_vnni"}),
    ),
    Level("avx2", ("-march=x86-64-v3",), frozenset({"avx2", "fma", "bmi2", "movbe"})),
    Level("plain", (), frozenset()),
)

# One row of the draw: `struct Draw` in draw.c.
DRAW = np.dtype(
    [
        ("logits", np.uintp),
        ("ids", np.uintp),
        ("biased", np.uintp),
        ("biases", np.uintp),
        ("never", np.uintp),
        ("allowed", np.uintp),
        ("uniform", np.float64),
        ("temperature", np.float32),
        ("top_p", np.float32),
        ("min_p", np.float32),
        ("repetition", np.float32),
        ("presence", np.float32),
        ("frequency", np.float32),
        ("top_k", np.int32),
        ("prompt", np.int32),
        ("length", np.int32),
        ("biased_count", np.int32),
        ("never_count", np.int32),
        ("token", np.int32),
        ("logprob", np.float32),
    ],
    align=True,
)

_POINTER, _INT, _FLOAT = ctypes.c_void_p, ctypes.c_int, ctypes.c_float
_ARGUMENTS = {
    "quire_threads": [_INT, ctypes.c_long],
    "quire_norm": [_POINTER] * 4 + [_INT, _INT, _FLOAT],
    "quire_linear_f32": [_POINTER] * 5 + [_INT] * 4,
    "quire_ready": [],
    "quire_pack_i8": [_POINTER] * 3 + [_INT] * 2,
    "quire_linear_i8": [_POINTER] * 8 + [_INT] * 4,
    "quire_attention": [_POINTER] * 3 + [_INT] + [_POINTER] * 5 + [_INT] * 5 + [_FLOAT],
    "quire_draw": [_POINTER, _INT, _INT, _INT, _POINTER, _INT],
}
_ANSWERING = {"quire_threads", "quire_ready"}


def sources() -> list[Path]:
    return sorted(FOLDER.glob("*.c"))


def digest() -> str:
    """Return a name for the sources, by which a library made from others is not taken."""
    sha = hashlib.sha256()
    for path in sorted([*sources(), *FOLDER.glob("*.h")]):
        sha.update(path.read_bytes())
    return sha.hexdigest()[:12]


def path_of(level: Level) -> Path:
    return BUILT / f"kernels-{level.name}-{digest()}.so"


def compilable() -> tuple[Level, ...]:
    """Return the levels that a compiler on this kind of machine makes code for, the best first."""
    return LEVELS if platform.machine() in {"x86_64", "AMD64"} else LEVELS[-1:]


def usable() -> tuple[Level, ...]:
    """Return the levels that this processor can run, the best first."""
    features = _features()
    return tuple(level for level in compilable() if level.features <= features)


@cache
def kernels() -> ctypes.CDLL | None:
    """Load the best library there is; None if none was compiled from these sources."""
    for level in usable():
        path = path_of(level)
        if path.exists() and (library := _load(path)) is not None:
            return library
    logger.warning("kernels_missing: the engine is slow without its compiled kernels, see `make install`")
    return None


def _load(path: Path) -> ctypes.CDLL | None:
    """Load a library; None if the system does not let this process run it, as it may with tiles."""
    library = ctypes.CDLL(str(path))
    for name, arguments in _ARGUMENTS.items():
        function = getattr(library, name)
        function.argtypes, function.restype = arguments, ctypes.c_int if name in _ANSWERING else None
    return library if library.quire_ready() else None


def _features() -> frozenset[str]:
    try:
        lines = _CPUINFO.read_text().splitlines()
    except OSError:
        return frozenset()
    for line in lines:
        if line.startswith("flags"):
            return frozenset(line.partition(":")[2].split())
    return frozenset()
