"""Cut token documents into training rows."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from training import config

Tokens = np.ndarray[tuple[int], np.dtype[np.uint16]]
END = 0
"""Id of the end-of-text mark, the vocabulary's first."""


def load_tokens(name: str) -> Tokens:
    """The ids of `train` or `validation`, uint16 (tokens,), documents ended by `END`."""
    tokens: Tokens = np.load(config.WORK / f"{name}.npy")
    return tokens


@dataclass(frozen=True)
class Batch:
    """Input ids and the positions they are trained at, both int64 (rows, tokens)."""

    ids: Tensor
    positions: Tensor


class Reader:
    """Reads documents in a seeded order; `cursor` alone is its state.

    Every row starts where a document starts, as a prompt does, and the last
    document is cut at the row's end. Every second row has the end-of-text mark
    in front, so a prompt may begin with or without it.
    """

    def __init__(self, tokens: Tokens, seed: int, cursor: int = 0) -> None:
        """Find the documents of `tokens` and shuffle them by `seed`."""
        ends = np.flatnonzero(tokens == END) + 1
        self._tokens = tokens
        self._spans = np.stack([np.concatenate([[0], ends[:-1]]), ends], axis=1)
        self._order = np.random.default_rng(seed).permutation(len(ends))
        self.cursor = cursor

    def row(self, length: int) -> Tokens:
        """Give the next row, uint16 (length,)."""
        pieces = [np.array([END], dtype=np.uint16)] if self.cursor % 2 else []
        have = len(pieces)
        while have < length:
            start, end = self._spans[self._order[self.cursor % len(self._order)]]
            pieces.append(self._tokens[start:end])
            have += end - start
            self.cursor += 1
        row: Tokens = np.concatenate(pieces)[:length]
        return row

    def batch(self, rows: int, length: int) -> Tensor:
        """Give the next rows, int64 (rows, length)."""
        stacked = np.stack([self.row(length) for _ in range(rows)])
        return torch.from_numpy(stacked.astype(np.int64))


def place(ids: Tensor, positions: int, shifted: float, draw: np.random.Generator) -> Batch:
    """Put each row at position 0, or with chance `shifted` at a random one that fits.

    Short rows would otherwise leave the later position embeddings untrained.
    """
    rows, length = ids.shape
    free = positions - length
    starts = draw.integers(0, free + 1, rows) * (draw.random(rows) < shifted)
    return Batch(ids, torch.from_numpy(starts)[:, None] + torch.arange(length))
