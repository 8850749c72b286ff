"""Time on a device that works on by itself."""

import time
from collections.abc import Callable
from typing import Any

import torch

WARM_UP = 3


def seconds(function: Callable[[], object], *, repeats: int, device: torch.device) -> float:
    """Return the mean time of a call, of so many begun one behind the other, when all is compiled and recorded."""
    for _ in range(WARM_UP):
        function()
    if device.type != "cuda":
        begun = time.perf_counter()
        for _ in range(repeats):
            function()
        return (time.perf_counter() - begun) / repeats
    first: Any = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    last: Any = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    torch.cuda.synchronize(device)
    first.record()
    for _ in range(repeats):
        function()
    last.record()
    last.synchronize()
    return float(first.elapsed_time(last)) / 1000 / repeats


def copy_bandwidth(device: torch.device, *, count: int = 2**30, repeats: int = 20) -> float:
    """Return the bytes a second, read and written, of copying `count` numbers of 4 bytes on the device."""
    source = torch.randn(count, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / seconds(lambda: target.copy_(source), repeats=repeats, device=device)
