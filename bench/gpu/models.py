"""Models of random weights, made where they run: what a model computes decides nothing about its speed."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer as Fast
from tokenizers import decoders, models, pre_tokenizers
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from worker.engine.backends.backend import Backend
from worker.engine.backends.cuda import CudaBackend
from worker.engine.backends.plain import PlainBackend
from worker.engine.loading import LoadedModel, build
from worker.engine.tokenizer import Tokenizer, load_tokenizer
from worker.engine.weights import Checkpoint, Shape, load_checkpoint

VERSE = Path("checkpoints/quire-verse")


def shape_of(*, layers: int, width: int, heads: int, vocabulary: int = 50257, context: int = 1024) -> Shape:
    return Shape(
        vocabulary=vocabulary,
        context=context,
        width=width,
        heads=heads,
        layers=layers,
        inner=4 * width,
        epsilon=1e-5,
        activation="gelu_new",
        scale_by_head=True,
        scale_by_layer=False,
    )


SHAPES = {
    "124M": shape_of(layers=12, width=768, heads=12),
    "xl": shape_of(layers=48, width=1600, heads=25),
}


def random_checkpoint(shape: Shape, device: torch.device, seed: int = 20260101) -> Checkpoint:
    """Return a checkpoint with weights as GPT-2 begins with them."""
    draw = torch.Generator(device).manual_seed(seed)
    tensors: dict[str, Tensor] = {}

    def matrix(name: str, *size: int, scale: float = 0.02) -> Tensor:
        tensors[f"transformer.{name}.weight"] = torch.randn(size, generator=draw, device=device) * scale
        return tensors[f"transformer.{name}.weight"]

    def linear(name: str, depth: int, columns: int, scale: float = 0.02) -> None:
        matrix(name, depth, columns, scale=scale)
        tensors[f"transformer.{name}.bias"] = torch.randn(columns, generator=draw, device=device) * 0.02

    def norm(name: str) -> None:
        tensors[f"transformer.{name}.weight"] = torch.ones(shape.width, device=device)
        tensors[f"transformer.{name}.bias"] = torch.zeros(shape.width, device=device)

    last = 0.02 / (2 * shape.layers) ** 0.5
    for i in range(shape.layers):
        norm(f"h.{i}.ln_1")
        linear(f"h.{i}.attn.c_attn", shape.width, 3 * shape.width)
        linear(f"h.{i}.attn.c_proj", shape.width, shape.width, last)
        norm(f"h.{i}.ln_2")
        linear(f"h.{i}.mlp.c_fc", shape.width, shape.inner)
        linear(f"h.{i}.mlp.c_proj", shape.inner, shape.width, last)
    norm("ln_f")
    matrix("wpe", shape.context, shape.width)
    tensors["lm_head.weight"] = matrix("wte", shape.vocabulary, shape.width)
    return Checkpoint(shape, tensors, frozenset(), f"random {seed}")


def random_tokenizer(vocabulary: int) -> Tokenizer:
    """Return a tokenizer of bytes, and of made-up words for all other ids."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*alphabet, *(f"Ġword{i}" for i in range(vocabulary - len(alphabet)))]
    fast = Fast(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=[]))
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    wrapper: Any = PreTrainedTokenizerFast
    return Tokenizer(wrapper(tokenizer_object=fast), frozenset())


def random_model(shape: Shape, device: torch.device) -> LoadedModel:
    """Return a model as the engine runs it; without a self-test, for it promises nothing."""
    return LoadedModel(
        build(random_checkpoint(shape, device), gpu_backend(device)), random_tokenizer(shape.vocabulary), None
    )


def gpu_backend(device: torch.device) -> CudaBackend:
    return CudaBackend(device, dtype=torch.bfloat16 if device.type == "cuda" else torch.float32)


def reference_backend() -> PlainBackend:
    return PlainBackend(precision="fp32")


def verse(backend: Backend) -> LoadedModel:
    """Return the checkpoint that comes with the repository."""
    checkpoint = load_checkpoint(str(VERSE))
    tokenizer = load_tokenizer(str(VERSE), vocabulary=checkpoint.shape.vocabulary, end_ids=checkpoint.end_ids)
    return LoadedModel(build(checkpoint, backend), tokenizer, None)
