import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip(
    "triton", reason="Triton is not installed; it comes with torch for CUDA, and with .[dev] on Linux"
)

ROOT = Path(__file__).parents[3]
MOST_STACK = 64  # bytes; kernels that keep more than a few registers there are slow


@pytest.mark.skipif(platform.system() != "Linux", reason="Triton's compilers for GPUs run on Linux")
def test_the_kernels_compile_for_gpus_that_are_not_here(tmp_path: Path) -> None:
    environment = {**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}

    compiled = subprocess.run(
        [sys.executable, "-m", "tests.unit.engine.compiling", "80", "90"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )

    assert compiled.returncode == 0, compiled.stderr
    kernels = [json.loads(line) for line in compiled.stdout.splitlines()]
    assert {name for name, *_ in kernels} == {"_write", "_attend", "_pick"}
    assert {capability for _, capability, *_ in kernels} == {80, 90}
    assert all(size > 0 and stack <= MOST_STACK for *_, size, stack in kernels)
