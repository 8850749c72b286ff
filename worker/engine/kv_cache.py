import numpy as np
import torch

from worker.engine.layout import cache_length


class KvCache:
    """Keys and values of the running sequences: per layer two tensors (slots, length, heads, head size).

    Every slot is as long as the context. Positions at and above a sequence's length hold stale but finite
    numbers; attention masks them. Positions come before heads, so that a sequence touches no more memory
    than its length needs.
    """

    def __init__(
        self,
        *,
        layers: int,
        slots: int,
        heads: int,
        head_size: int,
        context: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.slots = slots
        shape = (slots, cache_length(context), heads, head_size)
        self.keys = [_zeros(shape, device, dtype) for _ in range(layers)]
        self.values = [_zeros(shape, device, dtype) for _ in range(layers)]

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` positions of slot `source` to slot `target`."""
        for tensor in (*self.keys, *self.values):
            tensor[target, :length].copy_(tensor[source, :length])

    def clear(self, slot: int) -> None:
        """Zero a slot that may hold numbers that are not finite: masked positions must stay finite."""
        for tensor in (*self.keys, *self.values):
            tensor[slot].zero_()


def cache_bytes(*, layers: int, slots: int, heads: int, head_size: int, context: int, itemsize: int) -> int:
    """Return the size of such a cache in bytes."""
    return 2 * layers * slots * heads * head_size * cache_length(context) * itemsize


def _zeros(shape: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    if device.type == "cpu" and dtype == torch.float32:
        # numpy's zeros are given by the operating system page by page on first touch: positions never
        # used cost no memory.
        return torch.from_numpy(np.zeros(shape, dtype=np.float32))
    return torch.zeros(shape, device=device, dtype=dtype)
