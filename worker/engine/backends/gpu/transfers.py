"""Copies between host and device that nobody waits for before their result is needed.

They go through page-locked memory, whose pieces torch hands out again only once the device is done with them.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor


def padded(count: int) -> int:
    """Return how many numbers to lay out for `count`, so that what follows begins at a multiple of 16 bytes.

    Triton compiles a kernel anew for pointers that are not such multiples.
    """
    return -(-count // 4) * 4


def on(device: torch.device) -> AbstractContextManager[object]:
    """Make `device` the one on which Triton and CUDA's own calls work, which torch sees to for its calls alone."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def to_device(values: NDArray[Any], device: torch.device) -> Tensor:
    """Return a tensor that holds `values` for all that the device does from now on."""
    tensor = torch.from_numpy(values)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.clone()


def write_to(tensor: Tensor, values: NDArray[Any]) -> None:
    """Overwrite `tensor` with `values`, after all that the device was told to do before."""
    source = torch.from_numpy(values)
    tensor.copy_(source.pin_memory() if tensor.is_cuda else source, non_blocking=True)


def to_host(tensor: Tensor) -> Callable[[], Tensor]:
    """Begin to copy `tensor` as it is after all that the device was told so far; what is returned waits for it."""
    if not tensor.is_cuda:
        kept = tensor.clone()
        return lambda: kept
    copied = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    copied.copy_(tensor, non_blocking=True)
    done: Any = torch.cuda.Event()  # type: ignore[no-untyped-call]
    done.record(torch.cuda.current_stream(tensor.device))

    def wait() -> Tensor:
        done.synchronize()
        return copied

    return wait
