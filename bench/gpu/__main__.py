"""Checks and measures everything on a GPU, in about ten minutes on one H200.

    python -m bench.gpu
    python -m bench.gpu --only speed tune

It needs torch for CUDA with Triton, transformers and pytest, and no service. What it finds it prints, and keeps in
bench/results/gpu.json, from which `python -m bench.gpu.page` writes the section of docs/benchmarks.md. The exit
status is 1 if there is no GPU or a part failed; the other parts run all the same.
"""

import argparse
import gc
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from bench.gpu.page import keep_provenance
from bench.report import RESULTS, Figure, merge

BATCHES = (1, 8, 64, 256, 512)
NEW_TOKENS = 544
CONTEXT = 304  # of the steps without a host: the mean of the others
ROOT = Path(__file__).parents[2]

Part = Callable[[torch.device, float], list[Figure]]


def tests(_device: torch.device, _bandwidth: float) -> list[Figure]:
    """Run tests/gpu; its conftest alone, for that of all tests wants databases."""
    command = ["-m", "pytest", "-q", "--confcutdir=tests/gpu", "-o", "filterwarnings=", "tests/gpu"]
    if subprocess.run([sys.executable, *command], cwd=ROOT, check=False).returncode:
        raise RuntimeError("tests/gpu failed")
    return []


def correctness(device: torch.device, _bandwidth: float) -> list[Figure]:
    from bench.gpu.correctness import random_weights, trained_weights  # noqa: PLC0415 - these need Triton
    from bench.gpu.models import SHAPES  # noqa: PLC0415

    return [
        *random_weights("124M", SHAPES["124M"], device, texts=2, tokens=200),
        *trained_weights(device, texts=8, tokens=100),
    ]


def speed(device: torch.device, bandwidth: float) -> list[Figure]:
    from bench.gpu.models import SHAPES, random_model  # noqa: PLC0415
    from bench.gpu.speed import device_figures, engine_figures  # noqa: PLC0415

    figures: list[Figure] = []
    for name, shape in SHAPES.items():
        loaded = random_model(shape, device)
        for batch in BATCHES:
            figures += device_figures(name, loaded, batch=batch, context=CONTEXT, bandwidth=bandwidth)
            _clear()
            figures += engine_figures(name, loaded, batch=batch, new_tokens=NEW_TOKENS, bandwidth=bandwidth)
            _clear()
        del loaded
        _clear()
    return figures


def peer(device: torch.device, _bandwidth: float) -> list[Figure]:
    from bench.gpu.models import SHAPES, random_model  # noqa: PLC0415
    from bench.gpu.peer import peer_figures  # noqa: PLC0415

    return peer_figures("124M", random_model(SHAPES["124M"], device), count=512, prompt=32, new_tokens=128)


def company(device: torch.device, _bandwidth: float) -> list[Figure]:
    from bench.gpu.company import company_figures  # noqa: PLC0415
    from bench.gpu.models import gpu_backend, verse  # noqa: PLC0415

    return company_figures("quire-verse bf16", verse(gpu_backend(device)), texts=64, tokens=100)


def tune(device: torch.device, bandwidth: float) -> list[Figure]:
    from bench.gpu.tune import attention_figures  # noqa: PLC0415

    return [
        figure
        for heads, batch, context in ((12, 512, 304), (25, 512, 304), (12, 8, 1000))
        for figure in attention_figures(
            device, heads=heads, head_size=64, batch=batch, context=context, bandwidth=bandwidth
        )
    ]


PARTS: dict[str, Part] = {
    "tests": tests,
    "correctness": correctness,
    "speed": speed,
    "company": company,
    "peer": peer,
    "tune": tune,
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="checks and measures the engine on a GPU")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="these parts alone")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the folder of gpu.json")
    options = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        print("bench.gpu needs a GPU, and torch sees none here.", file=sys.stderr)
        return 1
    device = torch.device(options.device)
    torch.cuda.set_device(device)
    failed = measure(options.only, device, options.results)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


def measure(names: Sequence[str], device: torch.device, results: Path) -> list[str]:
    """Run parts one after the other; return the names of those that failed."""
    from bench.gpu.timing import copy_bandwidth  # noqa: PLC0415

    print(f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}", flush=True)
    bandwidth = copy_bandwidth(device)
    results.mkdir(parents=True, exist_ok=True)
    keep_provenance(device, results)
    merge("gpu", [Figure("copy bandwidth, read and written", bandwidth / 1e9, "GB/s")], results)
    failed = []
    for name in names:
        begun = time.perf_counter()
        try:
            merge("gpu", PARTS[name](device, bandwidth), results)
        except Exception:  # noqa: BLE001 - the other parts are worth having
            traceback.print_exc()
            failed.append(name)
        print(f"{name}: {time.perf_counter() - begun:.0f} s", flush=True)
        _clear()
    return failed


def _clear() -> None:
    """Give back memory, so that the next part finds it all."""
    gc.collect()
    torch.cuda.empty_cache()


if __name__ == "__main__":
    sys.exit(main())
