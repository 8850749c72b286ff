"""`python -m bench.engine.profiled FOLDER PRECISION`: one run of the engine, with the time of each kind of kernel.

Prints one line of JSON. Counted are calls of the compiled kernels, on the engine's thread, which takes part in
each of them; what is left of the run's time is Python and torch between them.
"""

import argparse
import json
import time
from collections.abc import Callable
from ctypes import CDLL
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.engine import work
from bench.engine.ours import Ours, Setting
from worker.engine.native.library import kernels

KINDS = {
    "quire_linear_f32": "products",
    "quire_linear_i8": "products",
    "quire_attention": "attention",
    "quire_norm": "norms",
    "quire_draw": "draw",
}
# Where rows, depth and columns stand among the arguments of a product.
SIZES = {"quire_linear_f32": slice(5, 8), "quire_linear_i8": slice(8, 11)}


@dataclass
class Count:
    seconds: float = 0.0
    operations: float = 0.0  # of products: a multiplication and an addition each


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("precision")
    for name in ("threads", "requests", "prompt", "new-tokens", "vocabulary"):
        parser.add_argument(f"--{name}", type=int, required=True)
    given = parser.parse_args()
    library = kernels()
    if library is None:
        raise SystemExit("the kernels are not compiled: make install")
    counts = {kind: Count() for kind in KINDS.values()}
    for name, kind in KINDS.items():
        _watch(library, name, counts[kind])
    ours = Ours(given.folder, Setting(given.precision, slots=given.requests, threads=given.threads))
    shape = {"prompt": given.prompt, "vocabulary": given.vocabulary}
    ours.run(work.equal(given.requests, new_tokens=8, seed="warm", **shape), batch=given.requests)
    for count in counts.values():
        count.seconds = count.operations = 0.0
    ran = ours.run(work.equal(given.requests, new_tokens=given.new_tokens, seed="profile", **shape), batch=0)
    found: dict[str, Any] = {kind: count.seconds for kind, count in counts.items()}
    found["total"] = ran.seconds
    found["rate"] = counts["products"].operations / counts["products"].seconds
    print(json.dumps(found), flush=True)


def _watch(library: CDLL, name: str, count: Count) -> None:
    """Have a kernel's calls counted; to be done before a backend takes the kernel."""
    call: Callable[..., Any] = getattr(library, name)
    sizes = SIZES.get(name)

    def watched(*arguments: Any) -> None:
        begun = time.perf_counter()
        call(*arguments)
        count.seconds += time.perf_counter() - begun
        if sizes:
            rows, depth, columns = arguments[sizes]
            count.operations += 2.0 * rows * depth * columns

    setattr(library, name, watched)


if __name__ == "__main__":
    main()
