"""Any checkpoint of the GPT-2 architecture, as the plain tensors our forward pass reads."""

import hashlib
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, GPT2LMHeadModel

from worker.engine.errors import ModelRefused
from worker.engine.memory import available_bytes

VOCABULARY_MULTIPLE = 64
ACTIVATIONS = ("gelu_new", "gelu_pytorch_tanh", "gelu_fast", "gelu", "relu", "silu", "swish", "tanh")


@dataclass(frozen=True, slots=True)
class Shape:
    """The numbers of a checkpoint's config that its forward pass needs."""

    vocabulary: int
    context: int
    width: int
    heads: int
    layers: int
    inner: int
    epsilon: float
    activation: str
    scale_by_head: bool
    scale_by_layer: bool

    @property
    def head_size(self) -> int:
        return self.width // self.heads

    @property
    def padded_vocabulary(self) -> int:
        return -(-self.vocabulary // VOCABULARY_MULTIPLE) * VOCABULARY_MULTIPLE

    def attention_scale(self, layer: int) -> float:
        """Return the factor on query-key products in `layer` (0 is the first)."""
        scale = self.head_size**-0.5 if self.scale_by_head else 1.0
        return scale / (layer + 1) if self.scale_by_layer else scale

    def parameters(self, *, tied: bool) -> int:
        """Return the number of parameters, up to biases and norms."""
        block = 4 * self.width * self.width + 2 * self.width * self.inner
        tables = (1 if tied else 2) * self.padded_vocabulary + self.context
        return self.layers * block + tables * self.width


@dataclass(frozen=True, slots=True)
class Block:
    """One layer. Matrices are (out, in), as `torch.nn.functional.linear` takes them."""

    norm1: Tensor
    norm1_bias: Tensor
    qkv: Tensor
    qkv_bias: Tensor
    projection: Tensor
    projection_bias: Tensor
    norm2: Tensor
    norm2_bias: Tensor
    expand: Tensor
    expand_bias: Tensor
    contract: Tensor
    contract_bias: Tensor


@dataclass(frozen=True, slots=True)
class Weights:
    """Embeddings (padded vocabulary, width) and (context, width), the layers, the last norm, the head."""

    shape: Shape
    tokens: Tensor
    positions: Tensor
    blocks: tuple[Block, ...]
    norm: Tensor
    norm_bias: Tensor
    head: Tensor
    end_ids: frozenset[int]

    def digest(self) -> str:
        """Return the SHA-256 of the config numbers and of every tensor's bytes, as hex."""
        sha = hashlib.sha256(repr(self.shape).encode())
        blocks = [getattr(block, field.name) for block in self.blocks for field in fields(Block)]
        for tensor in (self.tokens, self.positions, *blocks, self.norm, self.norm_bias, self.head):
            sha.update(tensor.contiguous().view(torch.uint8).cpu().numpy().data)
        return sha.hexdigest()


def read_shape(source: str) -> tuple[Shape, bool]:
    """Return the shape of the checkpoint and whether its head is tied to its embeddings.

    ModelRefused: there is no readable config, or it is not one our forward pass computes.
    """
    try:
        config = AutoConfig.from_pretrained(source)
    except Exception as error:
        raise ModelRefused(f"{source} has no readable config.json: {_first_line(error)}") from error
    if config.model_type != "gpt2":
        raise ModelRefused(f"{source} is a {config.model_type} model, not of the GPT-2 architecture")
    if config.activation_function not in ACTIVATIONS:
        raise ModelRefused(f"{source} uses the activation {config.activation_function}, which is not known here")
    if config.n_embd % config.n_head:
        raise ModelRefused(f"{source} has a width of {config.n_embd}, not a multiple of its {config.n_head} heads")
    if getattr(config, "add_cross_attention", False):
        raise ModelRefused(f"{source} has cross-attention, so it is not a plain GPT-2")
    shape = Shape(
        vocabulary=config.vocab_size,
        context=config.n_positions,
        width=config.n_embd,
        heads=config.n_head,
        layers=config.n_layer,
        inner=config.n_inner or 4 * config.n_embd,
        epsilon=config.layer_norm_epsilon,
        activation=config.activation_function,
        scale_by_head=config.scale_attn_weights,
        scale_by_layer=config.scale_attn_by_inverse_layer_idx,
    )
    return shape, bool(config.tie_word_embeddings)


def load_weights(source: str, *, device: torch.device, dtype: torch.dtype, cache_bytes: int) -> Weights:
    """Load the checkpoint `source`, a local folder or a hub id, leaving room for `cache_bytes` of cache.

    ModelRefused names what is wrong: architecture, missing or damaged files, or too little memory.
    """
    shape, tied = read_shape(source)
    _check_memory(source, shape, tied=tied, device=device, dtype=dtype, cache_bytes=cache_bytes)
    model = _pretrained(source)
    end_ids = _end_ids(model, shape.vocabulary)
    state: dict[str, Tensor] = model.state_dict()

    def vector(name: str) -> Tensor:
        return state[f"transformer.{name}"].to(device=device, dtype=dtype)

    def matrix(name: str) -> Tensor:
        # Popped, so that the checkpoint's own copy is freed layer by layer.
        return state.pop(f"transformer.{name}").t().contiguous().to(device=device, dtype=dtype)

    def block(i: int) -> Block:
        return Block(
            norm1=vector(f"h.{i}.ln_1.weight"),
            norm1_bias=vector(f"h.{i}.ln_1.bias"),
            qkv=matrix(f"h.{i}.attn.c_attn.weight"),
            qkv_bias=vector(f"h.{i}.attn.c_attn.bias"),
            projection=matrix(f"h.{i}.attn.c_proj.weight"),
            projection_bias=vector(f"h.{i}.attn.c_proj.bias"),
            norm2=vector(f"h.{i}.ln_2.weight"),
            norm2_bias=vector(f"h.{i}.ln_2.bias"),
            expand=matrix(f"h.{i}.mlp.c_fc.weight"),
            expand_bias=vector(f"h.{i}.mlp.c_fc.bias"),
            contract=matrix(f"h.{i}.mlp.c_proj.weight"),
            contract_bias=vector(f"h.{i}.mlp.c_proj.bias"),
        )

    table = _padded(vector("wte.weight"), shape.padded_vocabulary)
    head = state["lm_head.weight"].to(device=device, dtype=dtype)
    untied = not torch.equal(head, table[: shape.vocabulary])
    del model
    return Weights(
        shape=shape,
        tokens=table,
        positions=vector("wpe.weight"),
        blocks=tuple(block(i) for i in range(shape.layers)),
        norm=vector("ln_f.weight"),
        norm_bias=vector("ln_f.bias"),
        head=_padded(head, shape.padded_vocabulary) if untied else table,
        end_ids=end_ids,
    )


def _pretrained(source: str) -> Any:
    try:
        # fp32 is asked for: the library's default would keep the precision of the file.
        loaded: Any = GPT2LMHeadModel.from_pretrained(source, dtype=torch.float32, output_loading_info=True)
    except Exception as error:
        raise ModelRefused(f"{source} has missing or damaged weights: {_first_line(error)}") from error
    model, report = loaded
    missing = sorted(report["missing_keys"]) + sorted(str(key) for key in report["mismatched_keys"])
    if missing:
        # The library would fill them with random numbers.
        raise ModelRefused(f"{source} lacks {len(missing)} of its weights, the first is {missing[0]}")
    return model.eval()


def _end_ids(model: Any, vocabulary: int) -> frozenset[int]:
    ends: set[int] = set()
    for config in (model.config, model.generation_config):
        value = getattr(config, "eos_token_id", None)
        ends.update(value if isinstance(value, list) else [] if value is None else [value])
    # Chinese GPT-2s are published with the English end id, which is outside of their vocabulary.
    return frozenset(end for end in ends if 0 <= end < vocabulary)


def _check_memory(
    source: str, shape: Shape, *, tied: bool, device: torch.device, dtype: torch.dtype, cache_bytes: int
) -> None:
    available = available_bytes(device)
    # On the CPU one layer exists twice while it is transposed, and an untied head while it is padded.
    needed = int(1.1 * shape.parameters(tied=tied)) * dtype.itemsize + cache_bytes
    if available is not None and needed > available:
        raise ModelRefused(
            f"{source} needs {needed / 2**30:.1f} GiB with its cache and {available / 2**30:.1f} GiB are available"
        )


def _padded(table: Tensor, rows: int) -> Tensor:
    return torch.nn.functional.pad(table, (0, 0, 0, rows - table.shape[0]))


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
