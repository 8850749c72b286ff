"""From a checkpoint to a model that runs: which backend, whether it fits, and whether it keeps its promises."""

import logging
import os
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from transformers.utils import logging as transformers_logging

from worker.engine.backends.backend import Backend, Linear, Norm
from worker.engine.backends.native import NativeBackend
from worker.engine.backends.plain import PlainBackend
from worker.engine.blocks import BLOCK_TOKENS
from worker.engine.errors import ModelRefused
from worker.engine.gpt2 import Block, Gpt2
from worker.engine.native.library import HEAD_MULTIPLE, WIDTH_MULTIPLE, kernels
from worker.engine.numerics import numerics_of
from worker.engine.quantise import GROUP
from worker.engine.tokenizer import Tokenizer, load_tokenizer
from worker.engine.weights import Checkpoint, Shape, check_memory, load_checkpoint, read_shape

PRECISIONS = ("auto", "fp32", "int8", "bf16")
# Pauses of a waiting thread before it sleeps, measured in docs/benchmarks.md.
SPINS = 2000
# What a step takes on a GPU besides weights and cache: scores of some hundred rows, cuBLAS's memory, graphs.
GPU_WORKSPACE = 2**30

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model ready to run, and the name of the bits it computes (None: it promises no repeats)."""

    model: Gpt2
    tokenizer: Tokenizer
    numerics: str | None


def load_model(
    source: str,
    *,
    kv_blocks: int,
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    spins: int | None = None,
) -> LoadedModel:
    """Load the checkpoint `source` (a local folder or a hub id) and run the self-test.

    `device`: "cpu", "cuda", "cuda:1" … or "auto". `precision`: "fp32" or "int8" on a CPU, "bf16" on a GPU,
    "auto" for the first of these. `threads`: of the kernels, in all of the process; None for one a core.
    Raises ModelRefused with one sentence that says why the checkpoint cannot be run here.
    """
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    place = _device(device)
    shape, tied = read_shape(source)
    backend = _backend(shape, place, precision, threads or os.cpu_count() or 1, SPINS if spins is None else spins)
    needed = weight_bytes(shape, backend, tied=tied) + kv_bytes(shape, backend, kv_blocks * BLOCK_TOKENS)
    needed += GPU_WORKSPACE if place.type == "cuda" else 0
    check_memory(source, needed, place)
    checkpoint = load_checkpoint(source)
    tokenizer = load_tokenizer(source, vocabulary=shape.vocabulary, end_ids=checkpoint.end_ids)
    model = build(checkpoint, backend)
    numerics = numerics_of(model)
    logger.info("model_loaded source=%s device=%s backend=%s numerics=%s", source, place, backend.name, numerics)
    return LoadedModel(model, tokenizer, numerics)


def kv_bytes(shape: Shape, backend: Backend, tokens: int) -> int:
    """Return what the keys and values of so many tokens take: 2 x layers x width numbers for each."""
    return 2 * shape.layers * shape.width * backend.kv_dtype.itemsize * tokens


def weight_bytes(shape: Shape, backend: Backend, *, tied: bool) -> int:
    """Return about what the weights take, and a twentieth more for what passes between the layers."""
    wide, eight_bits = backend.dtype.itemsize, backend.name.endswith("int8")
    # Codes, the sum of each group of them, and a scale for each column.
    inside = 1 + 4 / GROUP + 4 / shape.width if eight_bits else wide
    # The head is the table of tokens itself, unless the backend lays matrices out in its own way.
    shared = tied and not eight_bits and not backend.name.startswith("native")
    matrices = shape.matrix_parameters + (0 if shared else shape.table_parameters)
    return int(1.05 * (matrices * inside + (shape.table_parameters + shape.vector_parameters) * wide))


def build(checkpoint: Checkpoint, backend: Backend) -> Gpt2:
    """Give every tensor the form the backend runs; the checkpoint's own are let go one by one."""
    shape, tensors = checkpoint.shape, checkpoint.tensors

    def take(name: str) -> Tensor:
        # Copied, for the tensor may be a view of the checkpoint's file, which may be written anew some day.
        return tensors.pop(f"transformer.{name}").to(device=backend.device, dtype=backend.dtype, copy=True)

    def block(i: int) -> Block:
        def norm(name: str) -> Norm:
            return backend.norm(take(f"h.{i}.{name}.weight"), take(f"h.{i}.{name}.bias"), shape.epsilon)

        def linear(name: str, activation: str | None = None) -> Linear:
            # The checkpoint's matrices are (in, out).
            weight = take(f"h.{i}.{name}.weight").t().contiguous()
            return backend.linear(weight, take(f"h.{i}.{name}.bias"), activation=activation)

        return Block(
            norm1=norm("ln_1"),
            qkv=linear("attn.c_attn"),
            projection=linear("attn.c_proj"),
            norm2=norm("ln_2"),
            expand=linear("mlp.c_fc", shape.activation),
            contract=linear("mlp.c_proj"),
        )

    own_head = tensors.pop("lm_head.weight")
    tied = own_head.data_ptr() == tensors["transformer.wte.weight"].data_ptr()
    missing = shape.padded_vocabulary - shape.vocabulary
    head = functional.pad(own_head.to(device=backend.device, dtype=backend.dtype), (0, 0, 0, missing))
    # A table that is tied is not copied a second time.
    tokens = head[: shape.vocabulary] if tied else take("wte.weight")
    return Gpt2(
        shape=shape,
        backend=backend,
        tokens=tokens,
        positions=take("wpe.weight"),
        blocks=tuple(block(i) for i in range(shape.layers)),
        norm=backend.norm(take("ln_f.weight"), take("ln_f.bias"), shape.epsilon),
        head=backend.linear(head, None),
        digest=checkpoint.digest,
    )


def _backend(shape: Shape, device: torch.device, precision: str, threads: int, spins: int) -> Backend:
    if precision not in PRECISIONS:
        raise ModelRefused(f"the precision {precision} is not known, only {', '.join(PRECISIONS)}")
    if device.type == "cuda":
        if precision not in {"auto", "bf16"}:
            raise ModelRefused(f"the precision {precision} is for CPUs; a GPU runs bf16")
        try:
            from worker.engine.backends.cuda import CudaBackend  # noqa: PLC0415 - a CPU does without Triton
        except ImportError as error:
            raise ModelRefused(f"a GPU needs Triton, which torch for CUDA brings along: {error}") from error
        return CudaBackend(device)
    if precision == "bf16":
        raise ModelRefused("the precision bf16 is for GPUs; a CPU runs fp32 or int8")
    precision = "fp32" if precision == "auto" else precision
    if precision == "int8" and (shape.width % GROUP or shape.inner % GROUP):
        raise ModelRefused(f"int8 needs widths that are multiples of {GROUP}, not {shape.width} and {shape.inner}")
    library = kernels()
    if library is not None and _fits(shape):
        # What is left to torch is small, and its threads would only be in the way of the kernels' own.
        torch.set_num_threads(1)
        return NativeBackend(library, precision=precision, threads=threads, spins=spins)
    torch.set_num_threads(threads)
    return PlainBackend(precision=precision)


def _fits(shape: Shape) -> bool:
    """Whether the compiled kernels can run such a model."""
    return not (shape.width % WIDTH_MULTIPLE or shape.inner % WIDTH_MULTIPLE or shape.head_size % HEAD_MULTIPLE)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ModelRefused(f"the device {name} is not one, as cpu, cuda or cuda:1 are") from error
    if device.type not in {"cpu", "cuda"}:
        raise ModelRefused(f"the device {name} is not supported, only cpu and cuda")
    gpus = torch.cuda.device_count() if device.type == "cuda" else 1
    if (device.index or 0) >= gpus:
        raise ModelRefused(f"the device {name} is not there: torch sees {gpus} GPUs")
    return device
