"""The tokens of a model as the bytes they write."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


class Vocabulary:
    """Shared by all texts of a model.

    `tokens`: what each writes; empty for those that write nothing, or that may not be used. `size`: width of a
    mask, which may be above the number of tokens. `end_ids`: the tokens that end a text.
    """

    def __init__(self, tokens: Sequence[bytes], *, size: int, end_ids: frozenset[int]) -> None:
        self.tokens = tuple(tokens)
        self.size = size
        self.end_ids = end_ids
        self.by_bytes: dict[bytes, int] = {}
        for token, written in enumerate(self.tokens):
            if written and token not in end_ids:
                self.by_bytes.setdefault(written, token)
        self.longest = max(map(len, self.by_bytes), default=0)
        self.end = self.mask_of(sorted(end_ids))

    def can_write(self, text: bytes) -> bool:
        """Whether some tokens write this and nothing else."""
        reached = [True] + [False] * len(text)
        for start in range(len(text)):
            if reached[start]:
                for token in self.prefixes(text[start:]):
                    reached[start + len(self.tokens[token])] = True
        return reached[-1]

    def fewest(self, text: bytes) -> int:
        """Return how few tokens write this.

        Raises:
            ValueError: none do.

        """
        best = [0, *[len(text) + 1] * len(text)]
        for end in range(1, len(text) + 1):
            for start in range(max(0, end - self.longest), end):
                if text[start:end] in self.by_bytes:
                    best[end] = min(best[end], best[start] + 1)
        if best[-1] > len(text):
            raise ValueError(f"no tokens write {text!r}")
        return best[-1]

    def prefixes(self, text: bytes) -> list[int]:
        """Return the tokens with which `text` can begin and still be written to its end."""
        found = (self.by_bytes.get(text[:length]) for length in range(1, min(len(text), self.longest) + 1))
        return [token for token in found if token is not None]

    def nothing(self) -> Mask:
        """Return a new mask that allows no token."""
        return np.zeros(self.size, np.bool_)

    def mask_of(self, tokens: Sequence[int] | NDArray[np.integer]) -> Mask:
        """Return a mask that allows these tokens; it may be shared, so it cannot be changed."""
        mask = self.nothing()
        mask[np.asarray(tokens, np.int64)] = True
        mask.flags.writeable = False
        return mask

    @lru_cache(maxsize=256)  # noqa: B019 - a vocabulary lives as long as its worker
    def beginning(self, text: bytes) -> Mask:
        """Return the mask of the tokens with which `text` can begin and still be written to its end."""
        fitting = [token for token in self.prefixes(text) if self.can_write(text[len(self.tokens[token]) :])]
        return self.mask_of(fitting)
