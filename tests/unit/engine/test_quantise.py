"""Weights and activations in 8 bits: how far off, and what that does to a model."""

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch import Tensor

from quire.testing import checkpoint_folder
from tests.unit.engine.levels import EACH_BACKEND, Make, plain
from worker.engine.backends.plain import PlainLinear
from worker.engine.loading import build
from worker.engine.quantise import GROUP, quantised
from worker.engine.scoring import logprobs
from worker.engine.tokenizer import load_tokenizer
from worker.engine.weights import Checkpoint, load_checkpoint

TEXT = """It was a lover and his lass,
With a hey, and a ho, and a hey nonino,
That o'er the green corn-field did pass
In the spring time, the only pretty ring time,
When birds do sing, hey ding a ding, ding;
Sweet lovers love the spring."""

# Channels that are large in all trained models of some size, and how many times as large as the others.
OUTLIERS, FACTOR = [3, 17, 40], 80.0


def random(*size: int, seed: int = 1) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


def test_codes_times_scale_are_within_half_a_step_of_the_weight() -> None:
    weight = random(50, 192) * torch.logspace(-8, 8, 50)[:, None]

    codes, scales = quantised(weight)

    # The largest of a column is 127 steps, and no code is -128.
    assert bool(((codes * scales[:, None] - weight).abs() <= scales[:, None] * 0.50001).all())
    assert codes.abs().amax(dim=1).tolist() == [127] * 50
    assert scales == pytest.approx(weight.abs().amax(dim=1) / 127)


def test_each_column_has_a_scale_of_its_own() -> None:
    weight = random(2, 64)
    weight[1] *= 1000

    codes, _ = quantised(weight)

    assert torch.equal(codes, torch.cat([quantised(column[None])[0] for column in weight]))


@pytest.mark.parametrize("value", [0.0, 1e-44])
def test_a_column_without_weights_is_all_zero(value: float) -> None:
    codes, scales = quantised(torch.full((2, 64), value))

    assert bool((codes * scales[:, None] == 0).all())


@EACH_BACKEND
def test_an_input_is_off_by_half_a_step_of_its_own_group_at_most(made: Make) -> None:
    x = random(30, 256) * torch.tensor([1.0, 50.0, 1e-3, 7.0]).repeat_interleave(GROUP)
    exact = torch.eye(256)  # a matrix that 8 bits hold exactly

    found = made("int8").linear(exact, None)(x)

    steps = x.view(30, -1, GROUP).abs().amax(dim=2, keepdim=True) / 127
    assert bool(((found - x).view(30, -1, GROUP).abs() <= 0.5001 * steps).all())


@pytest.fixture(scope="module")
def ids() -> list[int]:
    tokenizer = load_tokenizer(str(checkpoint_folder()), vocabulary=4096, end_ids=frozenset())
    return tokenizer.encode(TEXT)


def with_outliers(checkpoint: Checkpoint) -> Checkpoint:
    """Make a few channels large and what reads them small in return: to fp32 it is the same model."""
    for layer in range(checkpoint.shape.layers):
        for norm, reader in (("ln_1", "attn.c_attn"), ("ln_2", "mlp.c_fc")):
            name = f"transformer.h.{layer}"
            checkpoint.tensors[f"{name}.{norm}.weight"][OUTLIERS] *= FACTOR
            checkpoint.tensors[f"{name}.{norm}.bias"][OUTLIERS] *= FACTOR
            checkpoint.tensors[f"{name}.{reader}.weight"][OUTLIERS] /= FACTOR
    return checkpoint


def values(made: Any, ids: list[int], change: Callable[[Checkpoint], Checkpoint] = lambda same: same) -> Tensor:
    """Return the log-probability of each token of the text."""
    return torch.tensor(logprobs(build(change(_own(load_checkpoint(str(checkpoint_folder())))), made), ids))


def deviation(found: Tensor, exact: Tensor) -> float:
    """Return by how many nats a token is off, as a root mean square."""
    return (found - exact).pow(2).mean().sqrt().item()


def _own(checkpoint: Checkpoint) -> Checkpoint:
    """Give the matrices and norms memory that may be written."""
    for name, tensor in checkpoint.tensors.items():
        if ".h." in name:
            checkpoint.tensors[name] = tensor.clone()
    return checkpoint


@EACH_BACKEND
def test_a_trained_model_changes_little_in_8_bits(made: Make, ids: list[int]) -> None:
    exact, found = values(made("fp32"), ids), values(made("int8"), ids)

    assert deviation(found, exact) < 0.04
    assert found.mean().item() == pytest.approx(exact.mean().item(), abs=0.01)


@EACH_BACKEND
def test_outlier_channels_change_a_model_little_more(made: Make, ids: list[int]) -> None:
    exact = values(made("fp32"), ids)

    assert deviation(values(made("fp32"), ids, with_outliers), exact) < 1e-3
    found = values(made("int8"), ids, with_outliers)

    assert deviation(found, exact) < 0.25
    assert found.mean().item() == pytest.approx(exact.mean().item(), abs=0.05)


def test_with_one_scale_for_all_inputs_outliers_would_drown_the_rest(ids: list[int]) -> None:
    def by_one_scale(product: PlainLinear, x: Tensor) -> Tensor:
        scale = x.abs().max() / 127
        return _call(product, (x / scale).round() * scale)

    exact = values(plain("fp32"), ids)

    with patch.object(PlainLinear, "__call__", by_one_scale):
        found = values(plain("fp32"), ids, with_outliers)

    assert deviation(found, exact) > 0.6


_call = PlainLinear.__call__
