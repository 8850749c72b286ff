"""Any checkpoint of the GPT-2 architecture: read through transformers, and checked."""

import hashlib
from dataclasses import dataclass
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

    @property
    def matrix_parameters(self) -> int:
        """How many parameters the layers' matrices have."""
        return self.layers * (4 * self.width * self.width + 2 * self.width * self.inner)

    @property
    def vector_parameters(self) -> int:
        """How many parameters the table of positions, the biases and the norms have."""
        return self.width * (self.context + 2) + self.layers * (9 * self.width + self.inner)

    @property
    def table_parameters(self) -> int:
        """How many parameters the table of tokens has, padded; a head of its own has as many."""
        return self.padded_vocabulary * self.width


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint in memory, in fp32. `tensors` are named as in transformers, matrices (in, out)."""

    shape: Shape
    tensors: dict[str, Tensor]
    end_ids: frozenset[int]
    digest: str  # SHA-256 of the config's numbers and of all tensors


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
    sizes = (config.vocab_size, config.n_positions, config.n_embd, config.n_head, config.n_layer)
    if min(sizes) < 1:
        raise ModelRefused(f"{source} has a size below 1 in its config.json")
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


def load_checkpoint(source: str) -> Checkpoint:
    """Load the checkpoint `source`, a local folder or a hub id.

    ModelRefused names what is wrong: architecture, or missing or damaged files.
    """
    shape, _ = read_shape(source)
    model = _pretrained(source)
    end_ids = _end_ids(model, shape.vocabulary)
    tensors: dict[str, Tensor] = {name: tensor.detach() for name, tensor in model.state_dict().items()}
    sha = hashlib.sha256(repr(shape).encode())
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise ModelRefused(f"{source} is damaged: {name} holds values that are not finite numbers")
        sha.update(name.encode())
        sha.update(tensor.contiguous().view(torch.uint8).numpy().data)
    return Checkpoint(shape, tensors, end_ids, sha.hexdigest())


def check_memory(source: str, needed: int, device: torch.device) -> None:
    """Raise ModelRefused if `device` has not so many bytes left for the model and its cache."""
    available = available_bytes(device)
    if available is not None and needed > available:
        raise ModelRefused(
            f"{source} needs {needed / 2**30:.1f} GiB with its cache and {available / 2**30:.1f} GiB are available"
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


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
