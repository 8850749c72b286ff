"""The words that one line may end with."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from worker.creative.constrained.dictionary import LONGEST
from worker.creative.constrained.lexicon import Bits
from worker.creative.constrained.words import Reach, Words

Truths = NDArray[np.bool_]

_SHORT = 2000  # words; sums over more of them are kept


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
        first, last = reach.span
        if last - first < _SHORT:
            sums = self._summed(first, last, syllables, letters)
            return sums[reach.high - first] > sums[reach.low - first]
        kept = self._sums.get((syllables, letters))
        if kept is None:
            kept = self._sums[syllables, letters] = self._summed(0, len(self._available), syllables, letters)
        return kept[reach.high] > kept[reach.low]

    def _summed(self, first: int, last: int, syllables: int, letters: int) -> NDArray[np.int32]:
        """Return before each word, and behind the last, how many of those from `first` on fit."""
        fitting = self._available[first:last] & (self._counts[first:last] & syllables > 0)
        if letters < LONGEST:
            fitting &= self._lengths[first:last] <= letters
        sums = np.zeros(last - first + 1, np.int32)
        np.cumsum(fitting, out=sums[1:])
        return sums


class EndWords:
    """Shared tables of `Words.ends`: letters, counts, rhyme and sound of each; how many sounds a rhyme has."""

    def __init__(self, words: Words) -> None:
        lexicon = words.lexicon
        self.words = words
        self.lengths = np.array([len(lexicon.words[number]) for number in words.ends], np.int8)
        self.counts = lexicon.ends[words.ends]
        self.rhymes = lexicon.rhymes[words.ends]
        self.sounds = lexicon.sounds[words.ends]
        _, first = np.unique(self.sounds, return_index=True)
        self.sizes = np.bincount(self.rhymes[first])

    def classes_of(self, sounds: int) -> int:
        """Return how many rhymes have at least so many words that sound unlike each other."""
        return int((self.sizes >= sounds).sum())


class Unused:
    """What one text may still end its lines with: no word that sounds like one it has used."""

    def __init__(self, ends: EndWords) -> None:
        self._ends = ends
        self._unused = np.ones(len(ends.words.ends), np.bool_)
        self._left = ends.sizes.copy()

    def use(self, number: int) -> int:
        """Take away a word of the lexicon, and what sounds like it; returns its rhyme."""
        lexicon = self._ends.words.lexicon
        rhyme = int(lexicon.rhymes[number])
        self._unused &= self._ends.sounds != lexicon.sounds[number]
        self._left[rhyme] -= 1
        return rhyme

    def rhyming(self, rhyme: int) -> Ends:
        """Return the words of a rhyme."""
        return self._of(self._unused & (self._ends.rhymes == rhyme))

    def apart_from(self, rhymes: Iterable[int], *, company: int, spare: int = 0) -> Ends:
        """Return the words of other rhymes than these which have at least so much company, unlike in sound.

        `spare`: how much more is wanted, where there are such words.
        """
        left = self._left.copy()
        left[list(rhymes)] = 0
        rich = left > company + spare
        return self._of(self._unused & (rich if rich.any() else left > company)[self._ends.rhymes])

    def _of(self, available: Truths) -> Ends:
        return Ends(self._ends.words, available, self._ends.lengths, self._ends.counts)
