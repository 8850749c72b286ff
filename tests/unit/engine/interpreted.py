"""The GPU backend on the CPU: its kernels through Triton's interpreter, which tests/conftest.py asks for.

Importing this skips the module that does, where that cannot be.
"""

import os
from pathlib import Path

import pytest
import torch

pytest.importorskip(
    "triton", reason="Triton is not installed; it comes with torch for CUDA, and with .[dev] on Linux"
)
if os.environ.get("TRITON_INTERPRET") != "1":
    pytest.skip("Triton runs on the GPU here, where tests/gpu tests the same", allow_module_level=True)

from worker.engine.backends.backend import Backend
from worker.engine.backends.cuda import CudaBackend
from worker.engine.backends.plain import PlainBackend
from worker.engine.loading import LoadedModel, build
from worker.engine.tokenizer import load_tokenizer
from worker.engine.weights import load_checkpoint

CPU = torch.device("cpu")


def gpu_backend(dtype: torch.dtype = torch.float32, *, lookahead: bool = True) -> CudaBackend:
    backend = CudaBackend(CPU, dtype=dtype)
    backend.lookahead = lookahead
    return backend


def plain_backend() -> PlainBackend:
    return PlainBackend(precision="fp32")


def loaded_on(backend: Backend, folder: Path) -> LoadedModel:
    """Return the model in `folder` on `backend`, without a self-test, which takes long through an interpreter."""
    checkpoint = load_checkpoint(str(folder))
    tokenizer = load_tokenizer(str(folder), vocabulary=checkpoint.shape.vocabulary, end_ids=checkpoint.end_ids)
    return LoadedModel(build(checkpoint, backend), tokenizer, None)
