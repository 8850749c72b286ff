"""Keys and values in blocks, rows that attend to them, and what they should find."""

import torch
from torch import Tensor

from worker.engine.backends.gpu.attention import attend

CPU = torch.device("cpu")


class Memory:
    """Random keys and values in scattered blocks, and rows of random slots and positions, the ends among them."""

    def __init__(
        self,
        heads: int,
        size: int,
        *,
        seed: int,
        slots: int = 4,
        table: int = 6,
        rows: int = 6,
        dtype: torch.dtype = torch.float32,
        device: torch.device = CPU,
    ) -> None:
        draw = torch.Generator().manual_seed(seed)
        blocks = slots * table + 3
        ends = torch.tensor([0, 15, 16, table * 16 - 1])
        self.heads, self.size = heads, size
        self.keys, self.values = (
            torch.randn((blocks, heads, 16, size), generator=draw).to(dtype).to(device) for _ in range(2)
        )
        self.tables = torch.randperm(blocks, generator=draw)[: slots * table].view(slots, table).int().to(device)
        others = torch.randint(table * 16, (rows - len(ends),), generator=draw)
        self.positions = torch.cat([ends, others]).to(device)
        self.slots = torch.randint(slots, (rows,), generator=draw).to(device)
        self.qkv = torch.randn((rows, 3 * heads * size), generator=draw).to(dtype).to(device)

    def place(self, row: int) -> tuple[int, int]:
        """Return the block and the place in it of a row's own position."""
        position = int(self.positions[row])
        return int(self.tables[self.slots[row], position // 16]), position % 16

    def found(self, scale: float, **options: int) -> Tensor:
        where = (self.keys, self.values, self.tables, self.slots, self.positions)
        return attend(self.qkv, *where, scale=scale, head_size=self.size, **options)

    def expected(self, row: int, scale: float) -> Tensor:
        """Compute in float64 what a row should find."""
        blocks, length = self.tables[self.slots[row]].long(), int(self.positions[row]) + 1
        keys, values = (
            cached[blocks].double().transpose(1, 2).flatten(0, 1)[:length] for cached in (self.keys, self.values)
        )
        query = self.qkv[row].view(3, self.heads, self.size)[0].double()
        weights = torch.softmax(torch.einsum("hd,nhd->hn", query, keys) * scale, dim=-1)
        return torch.einsum("hn,nhd->hd", weights, values).flatten()
