"""Products in 8 bits: exact integers between roundings that are all known."""

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.unit.engine.levels import EACH_BACKEND, LEVEL, Make, backend, fused
from worker.engine.native.library import Level
from worker.engine.quantise import GROUP, quantised

MAGIC = np.float32(12582912)  # 1.5 x 2**23: adding it rounds to whole numbers


def random(*size: int, seed: int = 1) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


def row_codes(x: "np.ndarray", *, fused: bool) -> "tuple[np.ndarray, np.ndarray]":
    """Return codes (rows, groups, GROUP) and scales (rows, groups) of x, each step in float32."""
    groups = x.reshape(x.shape[0], -1, GROUP)
    peaks = np.abs(groups).max(axis=2)
    inverses = np.divide(np.float32(127), peaks, out=np.zeros_like(peaks), where=peaks > 0)
    wide = np.longdouble if fused else np.float32
    shifted = (groups.astype(wide) * inverses[..., None].astype(wide) + MAGIC).astype(np.float32)
    return (shifted - MAGIC).astype(np.int64), peaks / np.float32(127)


def reference(x: Tensor, weight: Tensor, *, fused: bool) -> Tensor:
    """Return the product: integer sums of a group, then floats in the order of the groups."""
    codes, scales = row_codes(x.numpy(), fused=fused)
    weight_codes, weight_scales = quantised(weight)
    columns = weight_codes.numpy().astype(np.int64).reshape(len(weight), -1, GROUP)
    wide = np.longdouble if fused else np.float32
    totals = np.zeros((len(x), len(weight)), np.float32)
    for g in range(codes.shape[1]):
        sums = codes[:, g] @ columns[:, g].T
        assert np.abs(sums).max() < 2**24  # so that they are exact as floats too
        totals = (sums.astype(wide) * scales[:, g, None].astype(wide) + totals).astype(np.float32)
    return torch.from_numpy(totals) * weight_scales


@LEVEL
@pytest.mark.parametrize("depth", [64, 192, 768, 3072])
def test_a_product_is_the_exact_one_of_the_codes(level: Level, depth: int) -> None:
    x, weight = random(13, depth) * 3, random(64, depth, seed=2)
    x[3] = 0
    x[4] *= 1e-20
    x[5, :64] *= 1e20

    found = backend(level, "int8").linear(weight, None)(x)

    assert torch.equal(found, reference(x, weight, fused=fused(level)))


@LEVEL
@pytest.mark.parametrize("depth", [64, 768, 3072])
def test_the_largest_codes_do_not_saturate(level: Level, depth: int) -> None:
    signs = torch.tensor(
        [[1.0] * depth, [-1.0] * depth, [1.0, -1.0] * (depth // 2), [1.0, 1.0, -1.0, -1.0] * (depth // 4)]
    )
    weight = signs.repeat(8, 1)  # every combination of +127 and -127 in a column and a row

    found = backend(level, "int8").linear(weight, None)(signs * 127)

    # 127 / 127 is 1, and so is the scale of a row; 1 / 127 is rounded once, in the scale of a column.
    integers = (signs * 127).double() @ (weight * 127).double().T
    assert torch.equal(found, integers.float() * torch.tensor(1 / 127))


@LEVEL
def test_bias_activation_and_what_is_there_are_added_after_the_product(level: Level) -> None:
    x, weight, bias, hidden = random(9, 128), random(96, 128, seed=2), random(96, seed=3), random(9, 96, seed=4)
    made = backend(level, "int8")
    product = made.linear(weight, None)(x).clone()

    with_bias = made.linear(weight, bias)(x).clone()
    positive = made.linear(weight, bias, activation="relu")(x).clone()
    added = made.linear(weight, bias).add(hidden.clone(), x)

    assert torch.allclose(with_bias, product + bias, rtol=1e-6, atol=1e-6)
    assert torch.equal(positive, with_bias.relu())
    assert torch.allclose(added, product + bias + hidden, rtol=1e-6, atol=1e-6)


@EACH_BACKEND
def test_every_backend_is_close_to_the_product_itself(made: Make) -> None:
    x, weight = random(40, 768), random(96, 768, seed=2)
    exact = x.double() @ weight.double().T

    found = made("int8").linear(weight, None)(x)

    # Rounding errs by a 254th of a group's peak, of about 2.5 to 3, and of a column's peak, of about 3.5.
    assert (found - exact).pow(2).mean().sqrt() / exact.pow(2).mean().sqrt() < 0.012


@EACH_BACKEND
def test_an_outlier_coarsens_its_own_group_alone(made: Make) -> None:
    x, weight = random(20, 768), random(96, 768, seed=2)
    x[:, [7, 300, 301]] *= 50
    weight[:, [7, 300, 301]] *= 0.02  # as trained models have it: the outliers do not drown the rest
    exact = x.double() @ weight.double().T

    def error(found: Tensor) -> float:
        return float((found - exact).pow(2).mean().sqrt() / exact.pow(2).mean().sqrt())

    scale = x.abs().max() / 127
    by_one_scale = (x / scale).round() * scale @ weight.T

    found = error(made("int8").linear(weight, None)(x))

    assert found < 0.08
    assert error(by_one_scale) > 4 * found


@EACH_BACKEND
@pytest.mark.parametrize("broken", [torch.nan, torch.inf])
def test_what_is_no_number_is_not_hidden_by_the_codes(made: Make, broken: float) -> None:
    x = random(3, 128)
    x[1, 70] = broken
    clean = made("int8").linear(random(64, 128, seed=2), None)(random(3, 128)).clone()

    found = made("int8").linear(random(64, 128, seed=2), None)(x)

    assert torch.isnan(found[1]).all()
    assert torch.equal(found[[0, 2]], clean[[0, 2]])
