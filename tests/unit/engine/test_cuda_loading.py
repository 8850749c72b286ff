import subprocess
import sys
from pathlib import Path

import pytest
import torch

from worker.engine import ModelRefused
from worker.engine.loading import _backend
from worker.engine.weights import read_shape

GPU = torch.device("cuda")


def test_a_gpu_without_triton_is_refused_in_a_sentence(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shape, _ = read_shape(str(checkpoint))
    monkeypatch.setitem(sys.modules, "worker.engine.backends.cuda", None)

    with pytest.raises(ModelRefused, match="a GPU needs Triton"):
        _backend(shape, GPU, "auto", 1, 0)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_precisions_of_cpus_are_refused_on_a_gpu(checkpoint: Path, precision: str) -> None:
    shape, _ = read_shape(str(checkpoint))

    with pytest.raises(ModelRefused, match="is for CPUs"):
        _backend(shape, GPU, precision, 1, 0)


def test_a_cpu_does_without_triton(checkpoint: Path) -> None:
    script = f"""
import sys
sys.modules["triton"] = None  # as if it were not installed
from worker.engine import Engine
Engine.load({str(checkpoint)!r}, slots=1, device="cpu", threads=1)
print("loaded")
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.stdout == "loaded\n", done.stderr
