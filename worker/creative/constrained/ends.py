"""The words that one line may end with."""

import numpy as np
from numpy.typing import NDArray

from worker.creative.constrained.lexicon import Bits
from worker.creative.constrained.words import Reach, Words

Truths = NDArray[np.bool_]


class Ends:
    """Some of the words of `Words.ends`. Syllables are told as bits: bit k for k of them.

    `counted`: what they may count for. `fewest`: the least of it. `letters`: of the shortest word that counts for
    so few.
    """

    def __init__(self, words: Words, available: Truths, lengths: NDArray[np.int8], counts: Bits) -> None:
        self._words = words
        self._available = available
        self._lengths = lengths
        self._counts = counts
        self._sums: dict[tuple[int, int], NDArray[np.int32]] = {}
        self.counted = int(np.bitwise_or.reduce(counts[available]))
        self.fewest = (self.counted & -self.counted).bit_length() - 1
        self.letters = int(lengths[available & (counts & (1 << self.fewest) > 0)].min())

    def fits(self, number: int, syllables: int) -> bool:
        """Whether the line may end with this word where one of so many syllables is left."""
        at = int(np.searchsorted(self._words.ends, number))
        return (
            at < len(self._words.ends)
            and self._words.ends[at] == number
            and bool(self._available[at])
            and bool(self._counts[at] & syllables)
        )

    def within(self, reach: Reach, syllables: int, letters: int) -> Truths:
        """Return for each token whether it begins such a word of at most so many letters."""
        sums = self._sums.get((syllables, letters))
        if sums is None:
            fitting = self._available & (self._counts & syllables > 0) & (self._lengths <= letters)
            sums = self._sums[syllables, letters] = np.concatenate(([0], np.cumsum(fitting, dtype=np.int32)))
        return sums[reach.high] > sums[reach.low]


class EndWords:
    """What a text may still end its lines with; shared tables of `Words.ends`."""

    def __init__(self, words: Words) -> None:
        lexicon = words.lexicon
        self._words = words
        self._lengths = np.array([len(lexicon.words[number]) for number in words.ends], np.int8)
        self._counts = lexicon.ends[words.ends]
        self.rhymes = lexicon.rhymes[words.ends]
        self.sounds = lexicon.sounds[words.ends]

    def unused(self, used: list[int]) -> Truths:
        """Return the words that do not sound like any of `used`, which are numbers of the lexicon."""
        return ~np.isin(self.sounds, self._words.lexicon.sounds[used])

    def with_company(self, available: Truths, others: int) -> Truths:
        """Return those that rhyme with at least `others` more which sound unlike each other."""
        _, first = np.unique(np.where(available, self.sounds, -1), return_index=True)
        first = first[available[first]]
        rhymes, counts = np.unique(self.rhymes[first], return_counts=True)
        return available & np.isin(self.rhymes, rhymes[counts > others])

    def classes_of(self, words: int) -> int:
        """Return how many classes of rhyme have at least so many words."""
        _, counts = np.unique(self.rhymes, return_counts=True)
        return int((counts >= words).sum())

    def of(self, available: Truths) -> Ends:
        return Ends(self._words, available, self._lengths, self._counts)
