"""The forward pass against the formulas of docs/how_it_works.md, written out in float64."""

from array import array
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import GPT2LMHeadModel

from worker.engine.blocks import blocks_for
from worker.engine.loading import LoadedModel, load_model
from worker.engine.rows import Rows

IDS = [5, 17, 301, 8, 44, 5, 290, 133, 61, 2, 399, 77, 20, 21, 22, 23, 24, 25, 26]

Array = NDArray[np.float64]
Weights = Callable[[str], Array]


def norm(x: Array, weight: Array, bias: Array, epsilon: float) -> Array:
    mean = x.mean(axis=-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(axis=-1, keepdims=True)
    return np.asarray(weight * (x - mean) / np.sqrt(variance + epsilon) + bias)


def softmax(scores: Array) -> Array:
    powers = np.exp(scores - scores.max())
    return np.asarray(powers / powers.sum())


def gelu(u: Array) -> Array:
    return np.asarray(u / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (u + 0.044715 * u**3))))


def attention(x: Array, of: Weights, layer: str, heads: int) -> Array:
    """What masked multi-head attention adds to the rows."""
    qkv = x @ of(f"{layer}.attn.c_attn.weight") + of(f"{layer}.attn.c_attn.bias")
    queries, keys, values = np.split(qkv, 3, axis=1)
    size = x.shape[1] // heads
    joined = np.zeros_like(x)
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        for i in range(len(x)):
            scores = np.array([queries[i, part] @ keys[j, part] for j in range(i + 1)]) / np.sqrt(size)
            joined[i, part] = softmax(scores) @ values[: i + 1, part]
    return joined @ of(f"{layer}.attn.c_proj.weight") + of(f"{layer}.attn.c_proj.bias")


def feed_forward(x: Array, of: Weights, layer: str) -> Array:
    """What the feed-forward part adds to the rows."""
    inner = gelu(x @ of(f"{layer}.mlp.c_fc.weight") + of(f"{layer}.mlp.c_fc.bias"))
    return np.asarray(inner @ of(f"{layer}.mlp.c_proj.weight") + of(f"{layer}.mlp.c_proj.bias"))


def logits(folder: Path) -> Array:
    """Scores after each of IDS."""
    model = GPT2LMHeadModel.from_pretrained(folder)
    tensors = {name: tensor.double().numpy() for name, tensor in model.transformer.state_dict().items()}
    config = model.config

    def normed(x: Array, name: str) -> Array:
        return norm(x, tensors[f"{name}.weight"], tensors[f"{name}.bias"], config.layer_norm_epsilon)

    x = tensors["wte.weight"][IDS] + tensors["wpe.weight"][: len(IDS)]
    for layer in (f"h.{i}" for i in range(config.n_layer)):
        x = x + attention(normed(x, f"{layer}.ln_1"), tensors.__getitem__, layer, config.n_head)
        x = x + feed_forward(normed(x, f"{layer}.ln_2"), tensors.__getitem__, layer)
    return np.asarray(normed(x, "ln_f") @ tensors["wte.weight"].T)


def computed(loaded: LoadedModel) -> Array:
    table = blocks_for(len(IDS))
    rows = Rows(IDS, range(len(IDS)), [0] * len(IDS), range(len(IDS)), array("i", range(table)), table)
    return loaded.model.forward(rows, loaded.model.new_cache(table)).double().numpy()


def test_attention_and_feed_forward_are_those_of_the_formulas(checkpoint: Path) -> None:
    expected = logits(checkpoint)

    found = computed(load_model(str(checkpoint), kv_blocks=8, device="cpu"))

    assert np.linalg.norm(found - expected) < 1e-5 * np.linalg.norm(expected)


@pytest.mark.parametrize("part", ["attn.c_attn.weight", "attn.c_proj.bias", "mlp.c_fc.weight", "ln_2.bias"])
def test_the_comparison_sees_a_thousandth_of_a_change_of_any_part(
    checkpoint: Path, part: str, tmp_path: Path
) -> None:
    expected = logits(checkpoint)
    model = GPT2LMHeadModel.from_pretrained(checkpoint)
    with torch.no_grad():
        tensor = model.transformer.h[1].get_parameter(part)
        # Not the same for all: what is added to a whole row, the next norm takes away.
        tensor.add_(0.002 * torch.rand(tensor.shape, generator=torch.Generator().manual_seed(1)))
    model.save_pretrained(tmp_path)

    found = logits(tmp_path)

    assert np.linalg.norm(found - expected) > 1e-5 * np.linalg.norm(expected)
