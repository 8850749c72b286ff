"""What the forward pass asks of the hardware. There are three: compiled kernels, plain torch, and CUDA.

Hidden states are (rows, width). Whatever a backend computes of a row depends on that row, and in attention on
the tokens before it in its sequence, never on the other rows; where the hardware does not keep to that,
`numerics` finds out and says so.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from worker.engine.rows import Rows
from worker.engine.sampler import Drawn, Row


class Linear(Protocol):
    """A matrix with its bias, and the activation that follows it, if any."""

    def __call__(self, x: Tensor) -> Tensor:
        """Return (rows, columns) for x (rows, depth)."""
        ...

    def add(self, hidden: Tensor, x: Tensor) -> Tensor:
        """Return `hidden` plus the product; `hidden` may be overwritten."""
        ...


class Norm(Protocol):
    def __call__(self, x: Tensor) -> Tensor: ...


class Step(Protocol):
    """The rows of one forward pass, as tensors where they are needed."""

    @property
    def tokens(self) -> Tensor: ...
    @property
    def positions(self) -> Tensor: ...
    @property
    def wanted(self) -> Tensor: ...


S = TypeVar("S", bound=Step)


class KvCache(Protocol[S]):
    """Keys and values of all layers, in blocks of 16 positions."""

    def step(self, rows: Rows) -> S: ...

    def through(self, layers: Callable[[S], Tensor], step: S) -> Tensor:
        """Return `layers(step)`, always the same function; it may be recorded once and replayed."""
        ...

    def attend(self, layer: int, qkv: Tensor, step: S) -> Tensor:
        """Write the rows' keys and values, then let each row attend to all that came before it and itself.

        qkv (rows, 3 x width) → (rows, width).
        """
        ...


class Backend(Protocol):
    """Makes the parts of a model, each in the form that its hardware likes.

    `lookahead`: whether a step can be begun before the draws of the one before are known: `draw` then returns
    at once, and `Rows` may hold UNKNOWN for a token that it draws. `delivery_seconds`: how long drawn tokens may
    be kept, so that several are delivered at once.
    """

    name: str
    device: torch.device
    dtype: torch.dtype
    kv_dtype: torch.dtype
    lookahead: bool
    delivery_seconds: float

    def norm(self, weight: Tensor, bias: Tensor, epsilon: float) -> Norm: ...

    def linear(self, weight: Tensor, bias: Tensor | None, *, activation: str | None = None) -> Linear:
        """`weight` is (columns, depth)."""
        ...

    def cache(self, *, blocks: int, scales: Sequence[float], heads: int, head_size: int) -> KvCache[Any]:
        """Return an empty cache; `scales` has the factor on query-key products of each layer."""
        ...

    def draw(self, logits: Tensor, rows: Sequence[Row], end_ids: frozenset[int]) -> Callable[[], list[Drawn]]:
        """Begin to draw a token for each row of `logits` (rows, vocabulary); what is returned waits for them."""
        ...
