"""The self-test names equal bits equally, and finds whatever makes a row depend on its company."""

import logging
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch import Tensor

from tests.unit.engine.levels import EACH_BACKEND, RUNNABLE, Make, backend, fused, plain
from worker.engine import numerics
from worker.engine.backends.plain import PlainBackend, PlainCache, PlainLinear
from worker.engine.gpt2 import Gpt2
from worker.engine.loading import build
from worker.engine.numerics import numerics_of
from worker.engine.weights import load_checkpoint

MakeCheckpoint = Callable[..., Path]

FUSING = [level for level in RUNNABLE if fused(level)]


def on(made: Any, checkpoint: Path) -> Gpt2:
    return build(load_checkpoint(str(checkpoint)), made)


@EACH_BACKEND
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_every_backend_keeps_its_promise(made: Make, precision: str, checkpoint: Path) -> None:
    name = numerics_of(on(made(precision), checkpoint))

    if made is plain and precision == "fp32" and not torch.backends.mkl.is_available():
        pytest.skip("without MKL nobody says what torch's products depend on")
    assert name is not None
    assert re.fullmatch("[0-9a-f]{16}", name)


@pytest.mark.skipif(len(FUSING) < 2, reason="there is one such processor")
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_processors_that_compute_the_same_bits_have_the_same_name(precision: str, checkpoint: Path) -> None:
    first, *others = [numerics_of(on(backend(level, precision), checkpoint)) for level in FUSING]

    assert others == [first] * len(others)


@pytest.mark.skipif(not RUNNABLE, reason="there are no compiled kernels")
def test_the_number_of_threads_is_no_part_of_the_name(checkpoint: Path) -> None:
    names = {numerics_of(on(backend(RUNNABLE[0], threads=threads), checkpoint)) for threads in (1, 2, 3)}

    assert len(names) == 1


def test_the_name_is_the_same_again(checkpoint: Path) -> None:
    names = [numerics_of(on(PlainBackend(precision="fp32"), checkpoint)) for _ in range(2)]

    assert names[0] == names[1]


@EACH_BACKEND
def test_weights_precision_and_version_are_parts_of_the_name(
    made: Make, checkpoint: Path, make_checkpoint: MakeCheckpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [
        numerics_of(on(made("fp32"), checkpoint)),
        numerics_of(on(made("int8"), checkpoint)),
        numerics_of(on(made("fp32"), make_checkpoint(initializer_range=0.3))),
    ]
    monkeypatch.setattr(numerics, "ENGINE_VERSION", "another")
    names.append(numerics_of(on(made("fp32"), checkpoint)))

    assert len(set(names)) == 4


def test_a_bit_of_a_logit_changes_the_name(checkpoint: Path) -> None:
    class Nudged(PlainBackend):
        def linear(self, weight: Tensor, bias: Tensor | None, *, activation: str | None = None) -> Any:
            made = super().linear(weight, bias, activation=activation)
            return made if bias is not None else lambda x: torch.nextafter(made(x), torch.tensor(torch.inf))

    model = on(PlainBackend(precision="int8"), checkpoint)

    assert numerics_of(model) != numerics_of(on(Nudged(precision="int8"), checkpoint)) is not None


@pytest.mark.parametrize("context", [1, 2, 5, 13, 16, 17])
def test_a_tiny_context_is_tested_too(make_checkpoint: MakeCheckpoint, context: int) -> None:
    model = on(PlainBackend(precision="int8"), make_checkpoint(n_positions=context))

    assert numerics_of(model) is not None


def by_the_number_of_rows(product: PlainLinear, x: Tensor) -> Tensor:
    """As a library may choose another order of sums for another number of rows."""
    return _call(product, x) * (1 + 1e-7 * (len(x) % 3))


def by_the_largest_number_of_the_batch(product: PlainLinear, x: Tensor) -> Tensor:
    """As 8-bit products with one scale for all rows do."""
    scale = x.abs().max() / 127
    return _call(product, (x / scale).round() * scale)


def by_the_row_before(product: PlainLinear, x: Tensor) -> Tensor:
    y = _call(product, x)
    y[1:] += 1e-5 * y[:-1]
    return y


def by_the_place_in_the_batch(product: PlainLinear, x: Tensor) -> Tensor:
    """As the rows that are left over from whole tiles may be computed in another way."""
    y = _call(product, x)
    y[len(y) - len(y) % 4 :] *= 1 + 2e-7
    return y


def over_whole_blocks(cache: PlainCache, layer: int, qkv: Tensor, step: Any) -> Tensor:
    """Attend to all positions of the last block, also those that are not filled yet."""
    ends = (step.positions // 16 + 1) * 16 - 1
    return _attend(cache, layer, qkv, _Changed(step, positions_read=ends))


def over_one_key_too_few_behind_a_border(cache: PlainCache, layer: int, qkv: Tensor, step: Any) -> Tensor:
    """Forget the last key where a step has more than 64 rows."""
    behind = torch.full_like(step.positions, int(len(qkv) > 64))
    return _attend(cache, layer, qkv, _Changed(step, positions_read=(step.positions - behind).clamp(min=0)))


def in_blocks_that_follow_each_other(cache: PlainCache, layer: int, qkv: Tensor, step: Any) -> Tensor:
    """Take the blocks of a sequence for neighbours, wherever the table says they lie."""
    tables = [table[0] + torch.arange(len(table)) for table in step.tables]
    return _attend(cache, layer, qkv, _Changed(step, tables=[t.clamp(max=_blocks(cache) - 1) for t in tables]))


_call, _attend = PlainLinear.__call__, PlainCache.attend


def _blocks(cache: PlainCache) -> int:
    return len(cache._layers[0][0])


class _Changed:
    """A step of which attention reads something else than was written."""

    def __init__(self, step: Any, *, positions_read: Tensor | None = None, tables: Sequence[Tensor] = ()) -> None:
        self.positions, self.blocks = step.positions, step.blocks
        self.tables = tables or step.tables
        if positions_read is not None:
            self.positions = _ReadDifferently(step.positions, positions_read)


class _ReadDifferently:
    """Positions that say one thing where keys are written and another where lengths are read."""

    def __init__(self, written: Tensor, read: Tensor) -> None:
        self._written, self._read = written, read

    def __mod__(self, size: int) -> Tensor:
        return self._written % size

    def tolist(self) -> list[int]:
        return [int(position) for position in self._read]


def in_linears(fault: Callable[[PlainLinear, Tensor], Tensor]) -> AbstractContextManager[Any]:
    return patch.object(PlainLinear, "__call__", fault)


def in_attention(fault: Callable[..., Tensor]) -> AbstractContextManager[Any]:
    return patch.object(PlainCache, "attend", fault)


@pytest.mark.parametrize(
    "faulty",
    [
        in_linears(by_the_number_of_rows),
        in_linears(by_the_largest_number_of_the_batch),
        in_linears(by_the_row_before),
        in_linears(by_the_place_in_the_batch),
        in_attention(over_whole_blocks),
        in_attention(over_one_key_too_few_behind_a_border),
        in_attention(in_blocks_that_follow_each_other),
    ],
    ids=lambda faulty: faulty.new.__name__,
)
def test_a_model_whose_bits_depend_on_company_promises_nothing_and_says_so(
    checkpoint: Path, caplog: pytest.LogCaptureFixture, faulty: AbstractContextManager[Any]
) -> None:
    model = on(PlainBackend(precision="int8"), checkpoint)
    sound = numerics_of(model)

    with faulty, caplog.at_level(logging.WARNING):
        name = numerics_of(model)

    assert sound is not None
    assert name is None
    assert "promises nothing" in caplog.text


def test_logits_that_are_no_numbers_are_no_promise(checkpoint: Path) -> None:
    model = on(PlainBackend(precision="int8"), checkpoint)

    with in_linears(lambda product, x: _call(product, x) * torch.nan):
        assert numerics_of(model) is None
