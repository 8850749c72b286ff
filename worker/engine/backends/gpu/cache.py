"""The cache of a model on the device, and the rows of a step as it takes them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from worker.engine.backends.gpu.attention import attend, write
from worker.engine.backends.gpu.graphs import Graphs, size_for
from worker.engine.backends.gpu.history import History
from worker.engine.backends.gpu.transfers import on, padded, to_device, write_to
from worker.engine.blocks import BLOCK_TOKENS
from worker.engine.rows import UNKNOWN, Rows


@dataclass(frozen=True, slots=True)
class Step:
    """`inputs`: tokens, positions and slots (3, rows), the last rows unused; `size`: that of its graph, if any."""

    inputs: Tensor
    wanted: Tensor
    size: int | None

    @property
    def tokens(self) -> Tensor:
        return self.inputs[0]

    @property
    def positions(self) -> Tensor:
        return self.inputs[1]

    @property
    def slots(self) -> Tensor:
        return self.inputs[2]


class PagedCache:
    """`layers`: keys and values of each, (blocks, heads, 16, head size).

    One more block than asked for and one more slot that leads there belong to the rows that fill up a step.
    """

    def __init__(
        self,
        history: History,
        device: torch.device,
        dtype: torch.dtype,
        *,
        blocks: int,
        scales: Sequence[float],
        heads: int,
        head_size: int,
    ) -> None:
        self._history = history
        self._device = device
        self._scales = scales
        self._head_size = head_size
        shape = (blocks + 1, heads, BLOCK_TOKENS, head_size)
        self.layers = [
            (torch.zeros(shape, dtype=dtype, device=device), torch.zeros(shape, dtype=dtype, device=device))
            for _ in scales
        ]
        self._spare_block = blocks
        self._known = np.empty((0, 0), np.int32)  # the tables that the device has
        self._tables = torch.empty((1, 0), dtype=torch.int32, device=device)
        self._inputs: dict[int, Tensor] = {}
        self._all = torch.arange(0, device=device)
        self._graphs = Graphs(device)

    def step(self, rows: Rows) -> Step:
        """Send `rows` to the device. A token that only the device knows is looked up there."""
        with on(self._device):
            self._send_tables(rows)
            self._history.fit(len(self._known) + 1, self._known.shape[1] * BLOCK_TOKENS)
            size = size_for(len(rows.tokens))
            inputs = self._send(rows, size)
            if min(rows.tokens) == UNKNOWN:
                drawn = self._history.tokens[inputs[2], inputs[1]]
                inputs[0].copy_(torch.where(inputs[0] < 0, drawn, inputs[0]))
            return Step(inputs, self._wanted(rows.wanted, len(rows.tokens)), size)

    def through(self, layers: Callable[[Step], Tensor], step: Step) -> Tensor:
        """Return what `layers` makes of the step; valid until the next one."""
        with on(self._device):
            return layers(step) if step.size is None else self._graphs.run(step.size, lambda: layers(step))

    def attend(self, layer: int, qkv: Tensor, step: Step) -> Tensor:
        keys, values = self.layers[layer]
        where = (keys, values, self._tables, step.slots, step.positions)
        write(qkv, *where, self._head_size)
        return attend(qkv, *where, scale=self._scales[layer], head_size=self._head_size)

    def _send_tables(self, rows: Rows) -> None:
        tables = np.frombuffer(rows.tables, np.int32).reshape(-1, rows.table_length)
        if tables.shape != self._known.shape:
            shape = (len(tables) + 1, rows.table_length)
            self._tables = torch.full(shape, self._spare_block, dtype=torch.int32, device=self._device)
            self._graphs.forget()
        elif np.array_equal(tables, self._known):
            return
        self._known = tables.copy()
        write_to(self._tables[: len(tables)], self._known)

    def _send(self, rows: Rows, size: int | None) -> Tensor:
        """Return tokens, positions and slots. Graphs find theirs where they found them before."""
        count = len(rows.tokens)
        run = size or count
        filled = np.zeros((3, padded(run)), np.int64)
        filled[2] = len(self._known)  # the slot of rows that fill up
        filled[:, :count] = rows.tokens, rows.positions, rows.slots
        if size is None:
            return to_device(filled, self._device)[:, :run]
        if size not in self._inputs:
            self._inputs[size] = torch.empty(filled.shape, dtype=torch.int64, device=self._device)
        write_to(self._inputs[size], filled)
        return self._inputs[size][:, :run]

    def _wanted(self, wanted: Sequence[int], count: int) -> Tensor:
        if len(wanted) < count:
            return to_device(np.array(wanted, np.int64), self._device)
        if len(self._all) < count:
            self._all = torch.arange(count, device=self._device)
        return self._all[:count]
