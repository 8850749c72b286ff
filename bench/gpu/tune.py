"""How fast the attention kernel reads memory in each of the forms that it can be compiled in."""

import torch

from bench.gpu.timing import seconds
from bench.report import Figure
from worker.engine.backends.gpu.attention import attend
from worker.engine.blocks import BLOCK_TOKENS, blocks_for

FORMS = ((32, 1), (32, 2), (32, 4), (64, 2), (64, 4), (64, 8), (128, 4), (128, 8))  # tile, warps


def attention_figures(
    device: torch.device,
    *,
    heads: int,
    head_size: int,
    batch: int,
    context: int,
    bandwidth: float,
    dtype: torch.dtype = torch.bfloat16,
    repeats: int = 30,
) -> list[Figure]:
    """Let `batch` rows attend to `context` positions each, in three layers in turn, so that none is cached."""
    table = blocks_for(context)
    tables = torch.randperm(batch * table, device=device).view(batch, table).int()
    slots = torch.arange(batch, device=device)
    positions = torch.full((batch,), context - 1, device=device)
    qkv = torch.randn((batch, 3 * heads * head_size), device=device, dtype=dtype)
    shape = (batch * table, heads, BLOCK_TOKENS, head_size)
    layers = [tuple(torch.randn(shape, device=device).to(dtype) for _ in range(2)) for _ in range(3)]
    read = 2 * batch * context * heads * head_size * dtype.itemsize
    figures = []
    for tile, warps in FORMS:

        def once(tile: int = tile, warps: int = warps) -> None:
            for keys, values in layers:
                attend(
                    qkv,
                    keys,
                    values,
                    tables,
                    slots,
                    positions,
                    scale=head_size**-0.5,
                    head_size=head_size,
                    tile=tile,
                    warps=warps,
                )

        taken = seconds(once, repeats=repeats, device=device) / len(layers)
        name = f"attention of {batch} rows to {context}, tile {tile}, {warps} warps: share of copying"
        figures.append(Figure(name, 100 * read / taken / bandwidth, "%"))
    return figures
