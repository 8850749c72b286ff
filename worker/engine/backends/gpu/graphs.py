"""Steps of a few fixed sizes, each recorded as a CUDA graph the first time it is met.

A step of a small model is hundreds of kernels that each take microseconds: started one by one they would keep the
device waiting for the host. A step is filled up to the next size with rows that write into a block of their own.
Sizes are recorded when they are met and not when the model is loaded, because a worker meets few of them:
recording takes about a tenth of a second for each, once, while the first texts arrive.
"""

import threading
from bisect import bisect_left
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

# Recording waits for the device once, which must not happen while another thread records.
_RECORDING = threading.Lock()

SIZES = (1, 2, 4, 8, 16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 640, 768, 896, 1024)


def size_for(rows: int) -> int | None:
    """Return the size of the graph that runs so many rows; None if there are more than in any."""
    index = bisect_left(SIZES, rows)
    return SIZES[index] if index < len(SIZES) else None


class Graphs:
    """Calls functions whose tensors stay where they are; on CUDA the kernels of each are recorded, then replayed.

    Graphs run one after the other, so they share memory: a result is valid until another one runs.
    """

    def __init__(self, device: torch.device) -> None:
        self._recorded: dict[int, tuple[Any, Tensor]] = {}
        self._records = device.type == "cuda"
        if self._records:
            self._pool = torch.cuda.graph_pool_handle()
            self._stream: Any = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def run(self, size: int, function: Callable[[], Tensor]) -> Tensor:
        """Return what `function`, always the same for this size, returns for what its tensors hold now."""
        if not self._records:
            return function()
        if size not in self._recorded:
            with _RECORDING:
                self._recorded[size] = self._record(function)
        graph, result = self._recorded[size]
        graph.replay()
        return result

    def forget(self) -> None:
        """Record all anew: tensors have moved."""
        self._recorded.clear()

    def _record(self, function: Callable[[], Tensor]) -> tuple[Any, Tensor]:
        # Once without recording: compiling kernels and making cuBLAS's workspace cannot be recorded.
        current = torch.cuda.current_stream()
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            function()
        current.wait_stream(self._stream)
        graph = torch.cuda.CUDAGraph()
        # Other threads of the process, other engines among them, may use the device meanwhile.
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
            result = function()
        return graph, result
