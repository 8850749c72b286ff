"""The CPU backend on compiled kernels: fp32, or 8-bit integers with fp32 between the products."""

from collections.abc import Callable, Sequence
from ctypes import CDLL
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from worker.engine.backends.pages import zeros
from worker.engine.blocks import BLOCK_TOKENS
from worker.engine.native.library import DRAW, PANEL
from worker.engine.quantise import GROUP, quantised
from worker.engine.rows import Rows
from worker.engine.sampler import COLDEST, Drawn, Row, alternatives, never_drawn, uniforms_of

_PLAIN, _ADD = 0, 1
_ACTIVATIONS = {
    "gelu_new": 2,
    "gelu_pytorch_tanh": 2,
    "gelu_fast": 2,
    "gelu": 3,
    "relu": 4,
    "silu": 5,
    "swish": 5,
    "tanh": 6,
}
_STRETCH = 64  # the draw looks at so many scores together
_ROW_GROUP = 4  # attention goes through so many rows together
_TILE = 16  # rows of a tile, where products in 8 bits run on tiles


class Workspace:
    """Memory for results, kept from step to step: given back, the system would have to clear it each time anew."""

    def __init__(self) -> None:
        self._kept: dict[str, Tensor] = {}
        self._taken: dict[tuple[str, int, int], Tensor] = {}

    def take(self, name: str, rows: int, columns: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return (rows, columns), the same memory for the same name; what it holds is arbitrary."""
        taken = self._taken.get((name, rows, columns))
        return self._cut(name, rows, columns, dtype) if taken is None else taken

    def _cut(self, name: str, rows: int, columns: int, dtype: torch.dtype) -> Tensor:
        kept = self._kept.get(name)
        if kept is None or len(kept) < rows * columns:
            kept = self._kept[name] = torch.empty(rows * columns, dtype=dtype)
            self._taken = {key: taken for key, taken in self._taken.items() if key[0] != name}
        # Kept too, for a view costs as much as a small kernel; there are few numbers of rows.
        taken = self._taken[name, rows, columns] = kept[: rows * columns].view(rows, columns)
        return taken


class NativeBackend:
    """`precision`: "fp32" or "int8". `threads`: how many the kernels of this process have.

    What the parts of the model return is overwritten when a part of the same kind is called again.
    """

    device = torch.device("cpu")
    dtype = torch.float32
    lookahead = False
    delivery_seconds = 0.0

    def __init__(self, library: CDLL, *, precision: str, threads: int, spins: int) -> None:
        self.name = f"native-{precision}"
        self._library = library
        self._precision = precision
        # Beside weights of 8 bits it does not matter that bf16 is coarser, and attention reads half as much.
        self.kv_dtype = torch.bfloat16 if precision == "int8" else torch.float32
        self._threads: int = library.quire_threads(threads, spins)
        self._space = Workspace()
        self._scratch = torch.empty(0)

    def norm(self, weight: Tensor, bias: Tensor, epsilon: float) -> "_Norm":
        return _Norm(self._library, self._space, weight, bias, epsilon)

    def linear(self, weight: Tensor, bias: Tensor | None, *, activation: str | None = None) -> "_Linear | _Int8":
        after = _PLAIN if activation is None else _ACTIVATIONS[activation]
        kind = _Int8 if self._precision == "int8" else _Linear
        return kind(self._library, self._space, weight, bias, after)

    def cache(self, *, blocks: int, scales: Sequence[float], heads: int, head_size: int) -> "NativeCache":
        return NativeCache(
            self._library, self._space, self._threads, self.kv_dtype, blocks, scales, heads, head_size
        )

    def draw(self, logits: Tensor, rows: Sequence[Row], end_ids: frozenset[int]) -> Callable[[], list[Drawn]]:
        asked, kept = _asked(logits, rows, end_ids)
        vocabulary = logits.shape[1]
        stride = (vocabulary // _STRETCH + 1) * _STRETCH
        if len(self._scratch) != self._threads * 4 * stride:
            self._scratch = torch.zeros(self._threads * 4 * stride)
        scratch = self._scratch.data_ptr()
        self._library.quire_draw(asked.ctypes.data, len(rows), vocabulary, stride, scratch, self._threads)
        del kept
        drawn = [
            Drawn(token if token >= 0 else None, value, top)
            for token, value, top in zip(
                asked["token"].tolist(), asked["logprob"].tolist(), alternatives(logits, rows), strict=True
            )
        ]
        return lambda: drawn


class _Norm:
    def __init__(self, library: CDLL, space: Workspace, weight: Tensor, bias: Tensor, epsilon: float) -> None:
        self._call = library.quire_norm
        self._space = space
        self._tensors = (weight, bias)
        self._weight, self._bias = weight.data_ptr(), bias.data_ptr()
        self._epsilon = epsilon

    def __call__(self, x: Tensor) -> Tensor:
        y = self._space.take("norm", *x.shape)
        self._call(x.data_ptr(), self._weight, self._bias, y.data_ptr(), *x.shape, self._epsilon)
        return y


class _Linear:
    """Columns lie in panels of 32: (columns / 32, depth, 32)."""

    def __init__(self, library: CDLL, space: Workspace, weight: Tensor, bias: Tensor | None, after: int) -> None:
        self.columns, self._depth = weight.shape
        self._call = library.quire_linear_f32
        self._space = space
        self._panels = weight.view(-1, PANEL, self._depth).transpose(1, 2).contiguous()
        self._bias = bias
        self._pointers = (self._panels.data_ptr(), bias.data_ptr() if bias is not None else 0)
        self._after = after

    def __call__(self, x: Tensor) -> Tensor:
        return self._run(x, self._space.take(f"linear {self.columns}", x.shape[0], self.columns), self._after)

    def add(self, hidden: Tensor, x: Tensor) -> Tensor:
        return self._run(x, hidden, _ADD)

    def _run(self, x: Tensor, y: Tensor, after: int) -> Tensor:
        rows = x.shape[0]
        packed = self._space.take("packed", rows, self._depth)
        self._call(
            x.data_ptr(),
            *self._pointers,
            y.data_ptr(),
            packed.data_ptr(),
            rows,
            self._depth,
            self.columns,
            after,
        )
        return y


class _Int8:
    """Weights in 8 bits with a scale for each column; inputs in 8 bits with a scale for each row and group."""

    def __init__(self, library: CDLL, space: Workspace, weight: Tensor, bias: Tensor | None, after: int) -> None:
        self.columns, self._depth = weight.shape
        self._call = library.quire_linear_i8
        self._space = space
        codes, scales = quantised(weight)
        # How the matrix lies is the kernel's own affair: each kind of processor wants it otherwise.
        matrix = torch.empty_like(codes)
        offsets = torch.empty(self.columns, self._depth // GROUP, dtype=torch.int32)
        library.quire_pack_i8(codes.data_ptr(), matrix.data_ptr(), offsets.data_ptr(), self._depth, self.columns)
        self._tensors = (matrix, scales, offsets, bias)
        self._pointers = [tensor.data_ptr() if tensor is not None else 0 for tensor in self._tensors]
        self._after = after

    def __call__(self, x: Tensor) -> Tensor:
        return self._run(x, self._space.take(f"linear {self.columns}", x.shape[0], self.columns), self._after)

    def add(self, hidden: Tensor, x: Tensor) -> Tensor:
        return self._run(x, hidden, _ADD)

    def _run(self, x: Tensor, y: Tensor, after: int) -> Tensor:
        rows = x.shape[0]
        padded = -(-rows // _TILE) * _TILE
        codes = self._space.take("codes", padded, self._depth, torch.int8)
        scales = self._space.take("scales", padded, self._depth // GROUP)
        self._call(
            x.data_ptr(),
            *self._pointers,
            y.data_ptr(),
            codes.data_ptr(),
            scales.data_ptr(),
            rows,
            self._depth,
            self.columns,
            after,
        )
        return y


@dataclass(frozen=True, slots=True)
class _Step:
    tokens: Tensor
    positions: Tensor
    wanted: Tensor
    places: Tensor  # positions and slots (2, rows) in 32 bits
    rows: Rows


class NativeCache:
    """Per layer: keys (blocks, heads, head size, 16) and values (blocks, heads, 16, head size), fp32 or bf16."""

    def __init__(
        self,
        library: CDLL,
        space: Workspace,
        threads: int,
        dtype: torch.dtype,
        blocks: int,
        scales: Sequence[float],
        heads: int,
        head_size: int,
    ) -> None:
        self._call = library.quire_attention
        self._space = space
        self._threads = threads
        self._scales = scales
        self._size = (heads, head_size)
        size = blocks * BLOCK_TOKENS * heads * head_size
        self._layers = [(zeros(size, dtype), zeros(size, dtype)) for _ in scales]

    def step(self, rows: Rows) -> _Step:
        positions = torch.tensor(rows.positions)
        places = torch.stack([positions, torch.tensor(rows.slots)]).to(torch.int32)
        return _Step(
            torch.tensor(rows.tokens), positions, torch.tensor(list(rows.wanted), dtype=torch.long), places, rows
        )

    def through(self, layers: Callable[[_Step], Tensor], step: _Step) -> Tensor:
        return layers(step)

    def attend(self, layer: int, qkv: Tensor, step: _Step) -> Tensor:
        rows, table_length = qkv.shape[0], step.rows.table_length
        scores = self._space.take(
            "scores", self._threads * _ROW_GROUP * self._size[0], table_length * BLOCK_TOKENS
        )
        out = self._space.take("attended", rows, self._size[0] * self._size[1])
        keys, values = self._layers[layer]
        self._call(
            qkv.data_ptr(),
            keys.data_ptr(),
            values.data_ptr(),
            int(keys.dtype == torch.bfloat16),
            step.places.data_ptr(),
            step.places.data_ptr() + 4 * rows,
            step.rows.tables.buffer_info()[0],
            out.data_ptr(),
            scores.data_ptr(),
            self._threads,
            rows,
            *self._size,
            table_length,
            self._scales[layer],
        )
        return out


def _asked(
    logits: Tensor, rows: Sequence[Row], end_ids: frozenset[int]
) -> tuple["np.ndarray", list["np.ndarray"]]:
    """Return what the kernel is asked, and the arrays that it points into."""
    kept: list[np.ndarray] = []

    def pointer(values: "np.ndarray") -> int:
        kept.append(values)
        return int(values.ctypes.data)

    start, pitch = logits.data_ptr(), logits.stride(0) * logits.element_size()
    asked, vocabulary = np.zeros(len(rows), DRAW), logits.shape[1]
    for i, (row, number) in enumerate(zip(rows, uniforms_of(rows), strict=True)):
        s = row.sampling
        penalised = s.repetition_penalty != 1 or s.presence_penalty or s.frequency_penalty
        never = never_drawn(row, end_ids)
        asked[i] = (
            start + i * pitch,
            pointer(np.array(row.ids, np.int32)) if penalised else 0,
            pointer(np.array(list(s.logit_bias), np.int32)) if s.logit_bias else 0,
            pointer(np.array(list(s.logit_bias.values()), np.float32)) if s.logit_bias else 0,
            pointer(np.array(never, np.int32)) if len(never) else 0,
            pointer(_mask(row.allowed, vocabulary)) if row.allowed is not None else 0,
            number,
            s.temperature if s.temperature >= COLDEST else 0,
            s.top_p,
            s.min_p,
            s.repetition_penalty,
            s.presence_penalty,
            s.frequency_penalty,
            min(s.top_k, vocabulary),
            row.prompt_length,
            len(row.ids),
            len(s.logit_bias),
            len(never),
            0,
            0,
        )
    return asked, kept


def _mask(allowed: "np.ndarray", vocabulary: int) -> "np.ndarray":
    if allowed.shape != (vocabulary,) or allowed.dtype != np.bool_:
        raise ValueError(f"a mask must hold {vocabulary} bool, not {allowed.shape} {allowed.dtype}")
    return np.ascontiguousarray(allowed).view(np.uint8)
