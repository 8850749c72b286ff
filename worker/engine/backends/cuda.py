"""The GPU backend: bf16 with fp32 where numbers are added up, CUDA graphs, Triton kernels.

The host runs ahead of the device: it starts a step and its draws, and delivers those of the step before meanwhile.
What it needs is under `gpu/`. A backend serves one running batch: it knows drawn tokens by their slots.

With the device "cpu" all but the graphs runs through Triton's interpreter, for tests.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from worker.engine.backends.gpu.cache import PagedCache
from worker.engine.backends.gpu.draw import DeviceDraw
from worker.engine.backends.gpu.history import History
from worker.engine.backends.gpu.transfers import on
from worker.engine.backends.plain import ACTIVATIONS
from worker.engine.sampler import Drawn, Row

_NAMES = {torch.bfloat16: "bf16", torch.float32: "fp32"}


class CudaBackend:
    """`dtype`: of weights, keys and values; fp32 is for tests."""

    lookahead = True
    # A step may take 2 ms, and what it draws for 500 texts keeps the host as long, if it is delivered one by one.
    delivery_seconds = 0.1

    def __init__(self, device: torch.device, *, dtype: torch.dtype = torch.bfloat16) -> None:
        if device.type == "cuda":
            # By its number: threads of their own begin on the first device.
            device = torch.device("cuda", torch.cuda.current_device() if device.index is None else device.index)
            # By default partial sums of long products are added up in bf16.
            torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
        self.name = f"cuda-{_NAMES[dtype]}"
        self.device = device
        self.dtype = self.kv_dtype = dtype
        self._history = History(device)
        self._draw = DeviceDraw(self._history, device)

    def norm(self, weight: Tensor, bias: Tensor, epsilon: float) -> "_Norm":
        return _Norm(weight, bias, epsilon)

    def linear(self, weight: Tensor, bias: Tensor | None, *, activation: str | None = None) -> "_Linear | _Head":
        # Only the head has no bias.
        return _Head(weight) if bias is None else _Linear(weight, bias, activation)

    def cache(self, *, blocks: int, scales: Sequence[float], heads: int, head_size: int) -> PagedCache:
        return PagedCache(
            self._history,
            self.device,
            self.kv_dtype,
            blocks=blocks,
            scales=scales,
            heads=heads,
            head_size=head_size,
        )

    def draw(self, logits: Tensor, rows: Sequence[Row], end_ids: frozenset[int]) -> Callable[[], list[Drawn]]:
        with on(self.device):
            return self._draw.begin(logits, rows, end_ids)


class _Norm:
    def __init__(self, weight: Tensor, bias: Tensor, epsilon: float) -> None:
        self._weight, self._bias, self._epsilon = weight, bias, epsilon

    def __call__(self, x: Tensor) -> Tensor:
        # Mean and variance are fp32 inside.
        return functional.layer_norm(x, self._weight.shape, self._weight, self._bias, self._epsilon)


class _Linear:
    def __init__(self, weight: Tensor, bias: Tensor, activation: str | None) -> None:
        self._weight, self._bias = weight, bias
        self._activation = ACTIVATIONS[activation] if activation else None

    def __call__(self, x: Tensor) -> Tensor:
        y = functional.linear(x, self._weight, self._bias)
        return self._activation(y) if self._activation else y

    def add(self, hidden: Tensor, x: Tensor) -> Tensor:
        return hidden.add_(functional.linear(x, self._weight, self._bias))


class _Head:
    """Its result is fp32: in bf16 the best tokens would often be as good as equal."""

    def __init__(self, weight: Tensor) -> None:
        self._weight = weight

    def __call__(self, x: Tensor) -> Tensor:
        if x.is_cuda and x.dtype != torch.float32:
            return torch.mm(x, self._weight.t(), out_dtype=torch.float32)
        return functional.linear(x.float(), self._weight.float())

    def add(self, hidden: Tensor, x: Tensor) -> Tensor:
        return hidden + self(x)
