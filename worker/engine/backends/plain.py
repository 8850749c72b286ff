"""The CPU backend on torch alone, for machines where the kernels were not compiled: the same results, slowly.

Row for row the same bits whatever the company, by three means: products in MKL's strict mode (`strict`) of at
least four rows, for fewer have bits of their own on some processors; attention one row at a time over its true
length; and in 8 bits integer products, which are exact.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from worker.engine.backends.pages import zeros
from worker.engine.blocks import BLOCK_TOKENS
from worker.engine.quantise import GROUP, quantised
from worker.engine.rows import Rows
from worker.engine.sampler import Drawn, Row, draw

_LEAST_ROWS = 4
_INT_ROWS = 32  # torch's integer product takes at least 17 rows

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu_new": partial(functional.gelu, approximate="tanh"),
    "gelu_pytorch_tanh": partial(functional.gelu, approximate="tanh"),
    "gelu_fast": partial(functional.gelu, approximate="tanh"),
    "gelu": functional.gelu,
    "relu": functional.relu,
    "silu": functional.silu,
    "swish": functional.silu,
    "tanh": torch.tanh,
}


class PlainBackend:
    """`precision`: "fp32" or "int8"."""

    device = torch.device("cpu")
    dtype = torch.float32
    kv_dtype = torch.float32
    lookahead = False
    delivery_seconds = 0.0

    def __init__(self, *, precision: str) -> None:
        self.name = f"plain-{precision}"
        self._precision = precision

    def norm(self, weight: Tensor, bias: Tensor, epsilon: float) -> "partial[Tensor]":
        return partial(functional.layer_norm, normalized_shape=weight.shape, weight=weight, bias=bias, eps=epsilon)

    def linear(self, weight: Tensor, bias: Tensor | None, *, activation: str | None = None) -> "PlainLinear":
        product = _Int8(weight) if self._precision == "int8" else partial(_product, weight=weight)
        return PlainLinear(product, bias, activation)

    def cache(self, *, blocks: int, scales: Sequence[float], heads: int, head_size: int) -> "PlainCache":
        return PlainCache(blocks, scales, heads, head_size)

    def draw(self, logits: Tensor, rows: Sequence[Row], end_ids: frozenset[int]) -> Callable[[], list[Drawn]]:
        drawn = draw(logits, rows, end_ids)
        return lambda: drawn


class PlainLinear:
    def __init__(self, product: Callable[[Tensor], Tensor], bias: Tensor | None, activation: str | None) -> None:
        self._product = product
        self._bias = bias
        self._activation = ACTIVATIONS[activation] if activation else None

    def __call__(self, x: Tensor) -> Tensor:
        y = self._product(x)
        y = y if self._bias is None else y + self._bias
        return self._activation(y) if self._activation else y

    def add(self, hidden: Tensor, x: Tensor) -> Tensor:
        return hidden + self(x)


class _Int8:
    def __init__(self, weight: Tensor) -> None:
        codes, self._scales = quantised(weight)
        self._groups = [part.t() for part in torch.split(codes, GROUP, dim=1)]

    def __call__(self, x: Tensor) -> Tensor:
        y = torch.zeros(x.shape[0], len(self._scales))
        for part, codes in zip(torch.split(x, GROUP, dim=1), self._groups, strict=True):
            scales = part.abs().amax(dim=1, keepdim=True) / 127
            rounded = (part / scales.clamp(min=torch.finfo(torch.float32).tiny)).round_().to(torch.int8)
            product = torch._int_mm(_padded(rounded, _INT_ROWS), codes)  # noqa: SLF001 - none is public
            y += product[: len(x)] * scales
        return y * self._scales


@dataclass(frozen=True, slots=True)
class _Step:
    tokens: Tensor
    positions: Tensor
    wanted: Tensor
    blocks: Tensor  # (rows), the block of each row's own position
    tables: list[Tensor]  # for each row the blocks of its sequence up to its position


class PlainCache:
    """Per layer keys and values (blocks, 16, heads, head size)."""

    def __init__(self, blocks: int, scales: Sequence[float], heads: int, head_size: int) -> None:
        self._scales = scales
        self._size = (heads, head_size)
        shape = (blocks, BLOCK_TOKENS, heads, head_size)
        size = blocks * BLOCK_TOKENS * heads * head_size
        self._layers = [
            (zeros(size, torch.float32).view(shape), zeros(size, torch.float32).view(shape)) for _ in scales
        ]

    def step(self, rows: Rows) -> _Step:
        tables = torch.frombuffer(rows.tables, dtype=torch.int32).view(-1, rows.table_length)
        positions, slots = torch.tensor(rows.positions), torch.tensor(rows.slots)
        return _Step(
            torch.tensor(rows.tokens),
            positions,
            torch.tensor(list(rows.wanted), dtype=torch.long),
            tables[slots, positions // BLOCK_TOKENS].long(),
            [
                tables[slot, : position // BLOCK_TOKENS + 1].long()
                for slot, position in zip(rows.slots, rows.positions, strict=True)
            ],
        )

    def through(self, layers: Callable[[_Step], Tensor], step: _Step) -> Tensor:
        return layers(step)

    def attend(self, layer: int, qkv: Tensor, step: _Step) -> Tensor:
        queries, keys, values = qkv.view(-1, 3, *self._size).unbind(1)
        cached_keys, cached_values = self._layers[layer]
        places = step.positions % BLOCK_TOKENS
        cached_keys[step.blocks, places] = keys
        cached_values[step.blocks, places] = values
        out = torch.empty(qkv.shape[0], *self._size)
        for row, (table, position) in enumerate(zip(step.tables, step.positions.tolist(), strict=True)):
            k, v = (
                cached[table].flatten(0, 1)[: position + 1].transpose(0, 1)
                for cached in (cached_keys, cached_values)
            )
            scores = (k @ queries[row, :, :, None])[..., 0] * self._scales[layer]
            out[row] = (torch.softmax(scores, dim=-1)[:, None] @ v)[:, 0]
        return out.flatten(1)


def _product(x: Tensor, *, weight: Tensor) -> Tensor:
    return functional.linear(_padded(x, _LEAST_ROWS), weight)[: len(x)]


def _padded(x: Tensor, rows: int) -> Tensor:
    missing = max(0, rows - x.shape[0])
    return functional.pad(x, (0, 0, 0, missing)) if missing else x
