"""Attention over keys and values in blocks, as Triton kernels: each row over its true length.

Keys and values of a layer are (blocks, heads, 16, head size) each, so that what one head reads of a block lies
together. A row's result depends on its own sequence alone, and is added up in one order whatever else is in the
step.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from worker.engine.blocks import BLOCK_TOKENS

# Positions that one program looks at together, and its warps: on an H200, 512 rows at a context of 304 read memory
# at 98 % of what copying reaches, with 64 and 4 at 76 %; `bench.gpu --only tune` measures others.
TILE = 32
WARPS = 1
_WRITE_TILE = 1024
_LOG2_E = 1.4426950408889634


@triton.jit
def _write(
    qkv,
    keys,
    values,
    tables,
    slots,
    positions,
    table_length,
    width,
    HEAD: tl.constexpr,
    BLOCK: tl.constexpr,
    TILE: tl.constexpr,
):
    """Put TILE columns of the keys and values of a row into the cache."""
    row = tl.program_id(1).to(tl.int64)
    column = tl.program_id(0) * TILE + tl.arange(0, TILE)
    inside = column < width
    position = tl.load(positions + row)
    block = tl.load(tables + tl.load(slots + row) * table_length + position // BLOCK).to(tl.int64)
    # In a block, what belongs to one head lies together: BLOCK positions of HEAD numbers.
    target = block * BLOCK * width + (column // HEAD * BLOCK + position % BLOCK) * HEAD + column % HEAD
    source = qkv + row * 3 * width + column
    tl.store(keys + target, tl.load(source + width, mask=inside), mask=inside)
    tl.store(values + target, tl.load(source + 2 * width, mask=inside), mask=inside)


@triton.jit
def _attend(
    qkv,
    keys,
    values,
    tables,
    slots,
    positions,
    out,
    scale,
    table_length,
    heads,
    HEAD: tl.constexpr,
    PADDED: tl.constexpr,
    BLOCK: tl.constexpr,
    TILE: tl.constexpr,
):
    """Let a head of a row attend, by the online softmax of Milakov and Gimelshein (2018)."""
    head = tl.program_id(0)
    row = tl.program_id(1).to(tl.int64)
    position = tl.load(positions + row)
    table = tables + tl.load(slots + row) * table_length
    column = tl.arange(0, PADDED)
    inside = column < HEAD
    query = tl.load(qkv + (row * 3 * heads + head) * HEAD + column, mask=inside, other=0.0).to(tl.float32) * scale

    best = -float("inf")
    total = 0.0
    sums = tl.zeros([PADDED], tl.float32)
    for start in range(0, position + 1, TILE):
        at = start + tl.arange(0, TILE)
        seen = at <= position
        block = tl.load(table + at // BLOCK, mask=seen, other=0).to(tl.int64)
        line = ((block * heads + head) * BLOCK + at % BLOCK) * HEAD
        place = line[:, None] + column[None, :]
        there = seen[:, None] & inside[None, :]
        key = tl.load(keys + place, mask=there, other=0.0).to(tl.float32)
        value = tl.load(values + place, mask=there, other=0.0).to(tl.float32)
        score = tl.where(seen, tl.sum(query[None, :] * key, axis=1), -float("inf"))
        higher = tl.maximum(best, tl.max(score, axis=0))
        weight = tl.exp2(score - higher)
        shrink = tl.exp2(best - higher)
        total = total * shrink + tl.sum(weight, axis=0)
        sums = sums * shrink + tl.sum(weight[:, None] * value, axis=0)
        best = higher
    tl.store(out + (row * heads + head) * HEAD + column, (sums / total).to(out.dtype.element_ty), mask=inside)


def write(
    qkv: Tensor, keys: Tensor, values: Tensor, tables: Tensor, slots: Tensor, positions: Tensor, head_size: int
) -> None:
    """Put the keys and values in qkv (rows, 3 x width) where `tables` (slots, blocks) has the rows' positions."""
    rows, width = qkv.shape[0], qkv.shape[1] // 3
    tile = min(_WRITE_TILE, triton.next_power_of_2(width))
    kernel: Any = _write
    kernel[(triton.cdiv(width, tile), rows)](
        qkv,
        keys,
        values,
        tables,
        slots,
        positions,
        tables.shape[1],
        width,
        HEAD=head_size,
        BLOCK=BLOCK_TOKENS,
        TILE=tile,
    )


def attend(
    qkv: Tensor,
    keys: Tensor,
    values: Tensor,
    tables: Tensor,
    slots: Tensor,
    positions: Tensor,
    *,
    scale: float,
    head_size: int,
    tile: int = TILE,
    warps: int = WARPS,
) -> Tensor:
    """Return what the queries in qkv (rows, 3 x width) find up to their own positions: (rows, width)."""
    rows, width = qkv.shape[0], qkv.shape[1] // 3
    heads = width // head_size
    out = torch.empty((rows, width), dtype=qkv.dtype, device=qkv.device)
    kernel: Any = _attend
    kernel[(heads, rows)](
        qkv,
        keys,
        values,
        tables,
        slots,
        positions,
        out,
        scale * _LOG2_E,
        tables.shape[1],
        heads,
        HEAD=head_size,
        PADDED=triton.next_power_of_2(head_size),
        BLOCK=BLOCK_TOKENS,
        TILE=tile,
        num_warps=warps,
    )
    return out
