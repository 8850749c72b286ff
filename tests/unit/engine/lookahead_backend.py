"""The plain backend behind a device that runs ahead of the host, as a GPU does."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from worker.engine.backends.plain import PlainBackend, PlainCache
from worker.engine.loading import LoadedModel, build
from worker.engine.rows import UNKNOWN, Rows
from worker.engine.sampler import Drawn, Row
from worker.engine.tokenizer import load_tokenizer
from worker.engine.weights import load_checkpoint


class LookaheadBackend(PlainBackend):
    """Knows the tokens drawn in each slot, and tells the host when it waits.

    `events`: ("forward", n) and ("draw", n) as the device is given its n-th, ("wait", n) as the host asks for the
    n-th draw. Logits are gone once the next forward pass begins.
    """

    lookahead = True

    def __init__(self) -> None:
        super().__init__(precision="fp32")
        self.events: list[tuple[str, int]] = []
        self._drawn: dict[tuple[int, int], int] = {}  # by slot and position
        self._last: dict[int, int] = {}
        self._stale: list[Tensor] = []

    def cache(self, *, blocks: int, scales: Sequence[float], heads: int, head_size: int) -> "LookaheadCache":
        return LookaheadCache(self, blocks, scales, heads, head_size)

    def draw(self, logits: Tensor, rows: Sequence[Row], end_ids: frozenset[int]) -> Callable[[], list[Drawn]]:
        self._stale.append(logits)
        number = self._happens("draw")
        drawn = super().draw(logits, [self._with_drawn(row) for row in rows], end_ids)()
        self._last |= {row.slot: one.token or 0 for row, one in zip(rows, drawn, strict=True)}
        self._drawn |= {(row.slot, row.length): self._last[row.slot] for row in rows}

        def wait() -> list[Drawn]:
            self.events.append(("wait", number))
            return drawn

        return wait

    def begin_forward(self, rows: Rows) -> Rows:
        """Return `rows` with the tokens that the host does not know."""
        self._happens("forward")
        for logits in self._stale:
            logits.fill_(torch.nan)
        self._stale.clear()
        tokens = [
            self._last[slot] if token == UNKNOWN else token
            for token, slot in zip(rows.tokens, rows.slots, strict=True)
        ]
        return replace(rows, tokens=tokens)

    def _with_drawn(self, row: Row) -> Row:
        unknown = [self._drawn[row.slot, at] for at in range(len(row.ids), row.length)]
        return replace(row, ids=[*row.ids, *unknown])

    def _happens(self, what: str) -> int:
        number = sum(name == what for name, _ in self.events)
        self.events.append((what, number))
        return number


class LookaheadCache(PlainCache):
    def __init__(
        self, backend: LookaheadBackend, blocks: int, scales: Sequence[float], heads: int, head_size: int
    ) -> None:
        super().__init__(blocks, scales, heads, head_size)
        self._backend = backend

    def step(self, rows: Rows) -> object:
        return super().step(self._backend.begin_forward(rows))


def load(folder: Path, backend: PlainBackend) -> LoadedModel:
    """Return the model in `folder` on `backend`, without a self-test: that knows no draws."""
    checkpoint = load_checkpoint(str(folder))
    tokenizer = load_tokenizer(str(folder), vocabulary=checkpoint.shape.vocabulary, end_ids=checkpoint.end_ids)
    return LoadedModel(build(checkpoint, backend), tokenizer, None)
