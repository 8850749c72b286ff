"""`python -m worker.engine.native.build`: compile the kernels, with $CC or `cc`, for each kind of processor."""

import os
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from worker.engine.native.library import BUILT, Level, compilable, path_of, sources

# Contraction to fused multiply-add is asked for everywhere, and nothing that reorders sums.
# Whatever takes or returns a vector is inlined, so how vectors are passed does not matter.
OPTIONS = ("-O3", "-std=gnu11", "-shared", "-fPIC", "-ffp-contract=fast", "-Wall", "-Wextra", "-Wno-psabi")


def compile_level(level: Level, target: Path) -> None:
    """Compile all sources into the library `target`; CalledProcessError if the compiler fails."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    scratch = target.with_suffix(f".{os.getpid()}")
    files = [str(path) for path in sources()]
    command = [*compiler, *OPTIONS, *level.options, "-o", str(scratch), *files, "-lm", "-lpthread"]
    subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - our own command line
    scratch.replace(target)


def main() -> int:
    """Compile for every kind of processor that the compiler knows; returns the exit status, 0 if any succeeded."""
    BUILT.mkdir(exist_ok=True)
    wanted = {path_of(level): level for level in compilable()}
    for old in BUILT.iterdir():
        if old not in wanted:
            old.unlink()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        compiling = {level: pool.submit(compile_level, level, path) for path, level in wanted.items()}
    for level, compiled in compiling.items():
        try:
            compiled.result()
        except (OSError, subprocess.CalledProcessError) as error:
            said = getattr(error, "stderr", "")
            sys.stderr.write(f"The kernels were not compiled for {level.name}: {error}\n{said}\n")
    return int(not any(path.exists() for path in wanted))


if __name__ == "__main__":
    sys.exit(main())
