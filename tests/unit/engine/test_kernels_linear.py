"""Matrix products in fp32, their activations, and layer norm."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tests.unit.engine.levels import LEVEL, RUNNABLE, backend, fused
from worker.engine.native.library import Level

ROWS = [*range(1, 71), 300]
WIDTH = 128


def random(*size: int, seed: int = 1) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


def in_order(x: Tensor, weight: Tensor, *, fused: bool) -> "np.ndarray":
    """Return the product (rows, columns), added up in order in float32.

    Fused, the product is exact before it is added: long doubles come as close as matters.
    """
    wide = np.longdouble if fused else np.float32
    sums = np.zeros((x.shape[0], weight.shape[0]), np.float32)
    for a, b in zip(x.numpy().T, weight.numpy().T, strict=True):
        sums = (np.multiply.outer(a.astype(wide), b.astype(wide)) + sums).astype(np.float32)
    return sums


@LEVEL
@pytest.mark.parametrize(("depth", "columns"), [(64, 32), (192, 64), (768, 96), (3072, 32)])
def test_a_product_adds_up_in_order_and_rounds_as_said(level: Level, depth: int, columns: int) -> None:
    x, weight, bias = random(17, depth), random(columns, depth, seed=2), random(columns, seed=3)
    exact = x.double() @ weight.double().T
    within = depth * 2.0**-24 * (x.double().abs() @ weight.double().abs().T)

    found = backend(level).linear(weight, None)(x).clone()
    with_bias = backend(level).linear(weight, bias)(x).clone()

    assert np.array_equal(found.numpy(), in_order(x, weight, fused=fused(level)))
    assert torch.equal(with_bias, found + bias)
    assert bool(((found - exact).abs() <= within).all())


@LEVEL
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_no_rows_give_no_rows(level: Level, precision: str) -> None:
    linear = backend(level, precision=precision).linear(random(96, 64), None)

    assert linear(torch.empty(0, 64)).shape == (0, 96)


@LEVEL
def test_a_product_may_be_added_to_what_is_there(level: Level) -> None:
    x, weight, bias, hidden = random(9, 64), random(96, 64, seed=2), random(96, seed=3), random(9, 96, seed=4)
    linear = backend(level).linear(weight, bias)
    product = linear(x).clone()

    found = linear.add(hidden.clone(), x)

    assert torch.equal(found, product + hidden)


@LEVEL
@pytest.mark.parametrize(
    ("name", "reference", "relative", "absolute"),
    [
        ("gelu_new", lambda x: functional.gelu(x, approximate="tanh"), 2e-7, 2e-7),
        ("gelu_pytorch_tanh", lambda x: functional.gelu(x, approximate="tanh"), 2e-7, 2e-7),
        ("gelu_fast", lambda x: functional.gelu(x, approximate="tanh"), 2e-7, 2e-7),
        ("gelu", functional.gelu, 2e-7, 2e-7),
        ("relu", functional.relu, 0, 0),
        # A silu below 0 is about x / e**-x, which shows the error of the exponential function alone.
        ("silu", functional.silu, 2.5e-7, 0),
        ("swish", functional.silu, 2.5e-7, 0),
        ("tanh", torch.tanh, 0, 2e-7),
    ],
)
def test_activations_are_those_of_torch(
    level: Level, name: str, reference: Callable[[Tensor], Tensor], relative: float, absolute: float
) -> None:
    x = torch.cat([torch.linspace(-87, 87, 64 * 999), torch.linspace(-0.1, 0.1, 64)]).view(-1, 64)
    exact = reference(x.double())

    found = backend(level).linear(torch.eye(64), None, activation=name)(x)

    assert bool(((found - exact).abs() <= relative * exact.abs() + absolute * (1 + x.abs())).all())


@LEVEL
@pytest.mark.parametrize("name", ["gelu_new", "gelu", "relu", "silu", "tanh", None])
def test_what_is_no_number_stays_none(level: Level, name: str | None) -> None:
    x = random(3, 64)
    x[1, 5] = torch.nan

    found = backend(level).linear(torch.eye(64), None, activation=name)(x)

    assert torch.isnan(found[1]).all()
    assert torch.isfinite(found[[0, 2]]).all()


@LEVEL
@pytest.mark.parametrize("width", [64, 256, 1600])
@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (50.0, 3.0), (1e-3, 1.0)])
def test_layer_norm(level: Level, width: int, scale: float, shift: float) -> None:
    x, weight, bias = random(5, width) * scale + shift, random(width, seed=2), random(width, seed=3)
    exact = functional.layer_norm(x.double(), (width,), weight.double(), bias.double(), 1e-5)

    found = backend(level).norm(weight, bias, 1e-5)(x)

    # The mean is known to a few units in the last place of what it is the mean of.
    within = 2e-6 * (1 + exact.abs()) + 1e-6 * abs(shift) / scale * weight.abs()
    assert bool(((found - exact).abs() <= within).all())


@LEVEL
def test_layer_norm_adds_epsilon_to_the_variance(level: Level) -> None:
    x = torch.full((2, 64), 3.0)
    x[1, ::2] = 3.2

    found = backend(level).norm(torch.ones(64), torch.zeros(64), 0.01)(x)

    assert found[0].tolist() == [0.0] * 64
    assert found[1, 0].item() == pytest.approx(0.1 / (0.01 + 0.01) ** 0.5, rel=1e-5)


PARTS = {
    "norm": lambda made: made.norm(random(WIDTH, seed=2), random(WIDTH, seed=3), 1e-5),
    "fp32": lambda made: made.linear(random(96, WIDTH, seed=2), random(96, seed=3)),
    "gelu_new": lambda made: made.linear(random(96, WIDTH, seed=2), random(96, seed=3), activation="gelu_new"),
    "gelu": lambda made: made.linear(random(96, WIDTH, seed=2), None, activation="gelu"),
    "int8": lambda made: made.linear(random(96, WIDTH, seed=2), random(96, seed=3), activation="gelu_new"),
}
EACH_PART = pytest.mark.parametrize("part", PARTS)


def made(part: str, level: Level, threads: int | None = None) -> Callable[[Tensor], Tensor]:
    return PARTS[part](backend(level, "int8" if part == "int8" else "fp32", threads=threads))


@LEVEL
@EACH_PART
def test_a_row_has_the_same_bits_among_any_number_of_rows_in_any_order(level: Level, part: str) -> None:
    x = random(300, WIDTH)
    call = made(part, level)
    alone = torch.cat([call(x[i : i + 1]).clone() for i in range(300)])

    for rows in ROWS:
        assert torch.equal(call(x[:rows].contiguous()), alone[:rows])
        assert torch.equal(call(x[-rows:].flip(0)).flip(0), alone[-rows:])


@LEVEL
@EACH_PART
@pytest.mark.parametrize("threads", [2, 3])
def test_the_bits_do_not_depend_on_the_number_of_threads(level: Level, part: str, threads: int) -> None:
    x = random(70, WIDTH)

    assert torch.equal(made(part, level, threads)(x), made(part, level, 1)(x))


@EACH_PART
@pytest.mark.skipif(len([level for level in RUNNABLE if fused(level)]) < 2, reason="there is one such processor")
def test_the_bits_are_those_of_every_processor_that_fuses(part: str) -> None:
    x = random(70, WIDTH)

    first, *others = (made(part, level)(x).clone() for level in RUNNABLE if fused(level))

    assert all(torch.equal(first, other) for other in others)
