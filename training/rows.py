"""Cut token documents into training rows.

Every row starts where a document starts, as a prompt does, and its last document is cut at the
row's end. Every second row has the end-of-text mark in front, so a prompt may begin with or
without it. A pass takes every document as often as its domain is repeated, in a seeded order.
"""

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

Tokens = np.ndarray[tuple[int], np.dtype[np.uint16]]
Indices = np.ndarray[tuple[int], np.dtype[np.int64]]
END = 0
"""Id of the end-of-text mark, the vocabulary's first."""


def as_tokens(ids: Sequence[int]) -> Tokens:
    """Token ids as the files keep them."""
    return np.array(ids, dtype=np.uint16)


@dataclass(frozen=True)
class Encoded:
    """All tokens of a part, uint16 (tokens,), and where its documents lie.

    `starts` and `lengths` are int64 (documents,), end marks included; `domains` uint8, numbers of `names`.
    """

    tokens: Tokens
    starts: Indices
    lengths: Indices
    domains: np.ndarray[tuple[int], np.dtype[np.uint8]]
    names: tuple[str, ...]

    def document(self, place: int) -> Tokens:
        """The tokens of one document, its end mark included."""
        return self.tokens[self.starts[place] : self.starts[place] + self.lengths[place]]


def load(work: Path, part: str) -> Encoded:
    """The tokens of `train` or `validation`."""
    tokens: Tokens = np.load(work / f"{part}.npy")
    ends = np.flatnonzero(tokens == END) + 1
    starts = np.concatenate([[0], ends[:-1]])
    names = json.loads((work / "encoded.json").read_text(encoding="utf-8"))["domains"]
    return Encoded(tokens, starts, ends - starts, np.load(work / f"{part}.domains.npy"), tuple(names))


def pass_order(encoded: Encoded, repeats: Mapping[str, float], seed: int, number: int) -> Indices:
    """Places of the documents of one pass, shuffled: each as often as its domain is repeated.

    The fraction of a repeat falls on documents drawn anew for each pass.
    """
    draw = np.random.default_rng((seed, number))
    chosen = []
    for domain, name in enumerate(encoded.names):
        own = np.flatnonzero(encoded.domains == domain)
        whole, rest = divmod(repeats.get(name, 1.0), 1.0)
        chosen += [own] * int(whole)
        chosen.append(draw.permutation(own)[: round(rest * len(own))])
    return draw.permutation(np.concatenate(chosen))


@dataclass(frozen=True)
class Pass:
    """One pass: its documents in order, an end mark in front, and where its rows start, int64 (rows,)."""

    stream: Tokens
    rows: Indices


def lay_out(encoded: Encoded, order: Indices, length: int) -> Pass:
    """String the documents together and find the rows of `length` tokens and one target more."""
    sizes = encoded.lengths[order]
    offsets = np.cumsum(sizes) - sizes
    places = np.repeat(encoded.starts[order] - offsets, sizes) + np.arange(sizes.sum())
    stream = np.concatenate([np.array([END], dtype=np.uint16), encoded.tokens[places]])
    starts: list[int] = []
    at = 0
    while at < len(offsets):
        # Even rows begin with the end mark of the document before theirs.
        start = int(offsets[at]) + len(starts) % 2
        if start + length + 1 > len(stream):
            break
        starts.append(start)
        at = int(np.searchsorted(offsets, start + length))
    return Pass(stream, np.array(starts, dtype=np.int64))


class Feed:
    """Rows of token ids without end, gathered on the device; `place` alone is its state.

    The next pass is laid out in the background while this one is trained on.
    """

    def __init__(
        self, encoded: Encoded, repeats: Mapping[str, float], length: int, seed: int, device: torch.device
    ) -> None:
        self._encoded, self._repeats = encoded, repeats
        self._length, self._seed, self._device = length, seed, device
        self._span = torch.arange(length + 1, device=device)
        self._background = ThreadPoolExecutor(1)
        self.seek(0, 0)

    def _lay_out(self, number: int) -> Pass:
        return lay_out(self._encoded, pass_order(self._encoded, self._repeats, self._seed, number), self._length)

    def _take(self, laid: Pass, number: int) -> None:
        """Put a pass on the device; ids fit int16, a vocabulary being below 32,768."""
        self._stream = torch.from_numpy(laid.stream.astype(np.int16)).to(self._device)
        self._rows = torch.from_numpy(laid.rows).to(self._device)
        self._number = number
        self._next = self._background.submit(self._lay_out, number + 1)

    def seek(self, cursor: int, number: int) -> None:
        """Go on from a saved place: `cursor` rows into pass `number`."""
        self._take(self._lay_out(number), number)
        self._cursor = cursor

    def rewind(self, place: tuple[int, int]) -> None:
        """Go back to a place of this pass."""
        self._cursor, number = place
        if number != self._number:
            raise ValueError(f"place {place} is of another pass than {self._number}")

    @property
    def place(self) -> tuple[int, int]:
        """What `seek` takes."""
        return self._cursor, self._number

    @property
    def rows_a_pass(self) -> int:
        """Rows of this pass."""
        return len(self._rows)

    def batch(self, rows: int) -> Tensor:
        """The next rows, int64 (rows, length + 1), on the device; rows at a pass's end that fill no batch go."""
        if rows > len(self._rows):
            raise ValueError(f"a pass has {len(self._rows)} rows, fewer than the {rows} of a batch")
        if self._cursor + rows > len(self._rows):
            self._take(self._next.result(), self._number + 1)
            self._cursor = 0
        starts = self._rows[self._cursor : self._cursor + rows]
        self._cursor += rows
        return self._stream[starts[:, None] + self._span].long()


@dataclass(frozen=True)
class HeldOut:
    """Held-out rows, int64 (rows, length + 1), and the domain of each target, int64 (rows, length)."""

    ids: Tensor
    domains: Tensor
    names: tuple[str, ...]


def held_out(encoded: Encoded, length: int, most: int, seed: int) -> HeldOut:
    """The first `most` rows of one seeded pass over held-out documents; all of them where there are fewer."""
    order = pass_order(encoded, {}, seed, 0)
    laid = lay_out(encoded, order, length)
    domains = np.concatenate([[0], np.repeat(encoded.domains[order], encoded.lengths[order])])
    places = laid.rows[:most, None] + np.arange(length + 1)
    ids = torch.from_numpy(laid.stream[places].astype(np.int64))
    return HeldOut(ids, torch.from_numpy(domains[places[:, 1:]].astype(np.int64)), encoded.names)
