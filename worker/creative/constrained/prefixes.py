"""All beginnings of the words of a lexicon, and how tokens lengthen them."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from worker.creative.constrained.lexicon import MOST_SYLLABLES, Bits

Indices = NDArray[np.int32]

NEVER = 127  # letters that are left where no word can be reached


class Prefixes:
    """In the order of their letters; each word is a prefix too.

    `place`: the number of each. By these numbers: `low`, `high`, the range of words that begin so; `near`
    (MOST_SYLLABLES, prefixes), in row s - 1 the letters to the nearest end of a word of at most s syllables, NEVER
    if there is none.
    """

    def __init__(self, words: Sequence[bytes], syllables: Bits) -> None:
        self.place: dict[bytes, int] = {}
        place = self.place
        begun = [place.setdefault(word[:end], len(place)) for word in words for end in range(1, len(word) + 1)]
        letters = np.array([len(word) for word in words], np.int8)
        _, first = np.unique(begun, return_index=True)
        self.low: Indices = np.repeat(np.arange(len(words), dtype=np.int32), letters)[first]
        self.high: Indices = self.low + np.bincount(begun).astype(np.int32)
        fewest = np.array([(int(bits) & -int(bits)).bit_length() - 1 for bits in syllables], np.int8)
        counts = range(1, MOST_SYLLABLES + 1)
        least = np.stack([self._least(np.where(fewest <= count, letters, np.int8(NEVER))) for count in counts])
        written = np.array([len(prefix) for prefix in place], np.int8)
        self.near: NDArray[np.int8] = np.where(least == NEVER, np.int8(NEVER), least - written)

    def _least(self, values: NDArray[np.int8]) -> NDArray[np.int8]:
        """Return for each prefix the least value of its words."""
        edges = np.stack([self.low, self.high], axis=1).ravel()
        # What `reduceat` makes of the stretches between the ranges is left out.
        least: NDArray[np.int8] = np.minimum.reduceat(np.append(values, np.int8(NEVER)), edges)[::2]
        return least


class Continuations:
    """The pairs of a prefix and a longer one that a token makes of it, in the order of the first.

    `tokens`, `longer`: the token and the number of the longer prefix of each pair.
    """

    def __init__(self, place: Mapping[bytes, int], tokens: Mapping[bytes, int]) -> None:
        most = max(map(len, tokens), default=0)
        found = (
            (place[prefix[:start]], number, token)
            for prefix, number in place.items()
            for start in range(max(1, len(prefix) - most), len(prefix))
            if (token := tokens.get(prefix[start:])) is not None
        )
        pairs = np.fromiter(found, np.dtype((np.int32, 3)))
        shorter, self.longer, self.tokens = pairs[np.argsort(pairs[:, 0], kind="stable")].T
        self._edges = np.searchsorted(shorter, np.arange(len(place) + 1)).tolist()

    def of(self, number: int) -> slice:
        """Return where the pairs of a prefix stand."""
        return slice(self._edges[number], self._edges[number + 1])
