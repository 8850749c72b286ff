"""The words that one line may end with."""

from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from worker.creative.constrained.dictionary import LONGEST
from worker.creative.constrained.lexicon import MOST_END_SYLLABLES
from worker.creative.constrained.vocabulary import Mask
from worker.creative.constrained.words import Reach, Words

Truths = NDArray[np.bool_]
Places = NDArray[np.intp]

_ONE = np.int32(1)  # of another type `subtract.at` takes twenty times as long


class EndWords:
    """Shared tables of `Words.ends`, in which words are told by their places there.

    `place`: of a word of the lexicon. `counts`: its syllables, as bits; `counting`: by syllables, whether it
    counts for so many. `rhymes`, `sounds`: of each; `rhyming`, `sounding`: the words of each. `sizes`: how many
    sounds a rhyme has.
    """

    def __init__(self, words: Words) -> None:
        lexicon = words.lexicon
        self.place = {int(number): at for at, number in enumerate(words.ends)}
        self.counts = lexicon.ends[words.ends]
        self.rhymes, self.sounds = lexicon.rhymes[words.ends], lexicon.sounds[words.ends]
        self.rhyming, self.sounding = Classes(self.rhymes), Classes(self.sounds)
        _, first = np.unique(self.sounds, return_index=True)
        self.sizes = np.bincount(self.rhymes[first])
        self.mask_size = words.vocabulary.size
        self.counting = [self.counts & 1 << count > 0 for count in range(MOST_END_SYLLABLES + 1)]
        self._lengths = np.array([len(lexicon.words[number]) for number in words.ends], np.int8)
        self._shortness = LONGEST - self._lengths
        self._beginnings = [
            _beginnings(reach, len(words.ends), self.mask_size) for reach in (words.bare, words.spaced)
        ]

    def classes_of(self, sounds: int) -> int:
        """Return how many rhymes have at least so many words that sound unlike each other."""
        return int((self.sizes >= sounds).sum())

    def fit(self, words: Places | slice, syllables: int, letters: int = LONGEST) -> Truths:
        """Return which of these words count for so many syllables, as bits, and have at most so many letters."""
        fit: Truths = self.counts[words] & syllables > 0
        if letters < LONGEST:
            fit &= self._lengths[words] <= letters
        return fit

    def shortest(self, words: Truths) -> int:
        """Return the letters of the shortest of these words."""
        return LONGEST - int((words * self._shortness).max())

    def beginnings(self, words: Places, *, spaced: bool) -> Places:
        """Return the tokens that begin each of these words (words, most), filled up with `mask_size`."""
        return self._beginnings[spaced][words]

    @lru_cache(maxsize=32)  # noqa: B019 - lives as long as its worker
    def rich(self, company: int) -> Truths:
        """Return which words have more than so many rhymes that sound unlike each other, themselves included."""
        rich: Truths = (self.sizes > company)[self.rhymes]
        return rich

    @lru_cache(maxsize=64)  # noqa: B019 - lives as long as its worker
    def rich_begun(self, company: int, syllables: int, letters: int, *, spaced: bool) -> NDArray[np.int32]:
        """Return for each token how many of the rich words that fit it begins; (mask_size + 1)."""
        words = np.flatnonzero(self.rich(company) & self.fit(slice(None), syllables, letters))
        tokens = self.beginnings(words, spaced=spaced).ravel()
        return np.bincount(tokens, minlength=self.mask_size + 1).astype(np.int32)


class Ends:
    """Some of the end words. Syllables are told as bits: bit k for k of them.

    `listed`: these words or, where `rich` is given, those that are missing among `EndWords.rich` of it.
    `counted`: what they may count for. `fewest`: the least of it. `letters`: of the shortest word that counts for
    so few.
    """

    def __init__(self, words: EndWords, available: Truths, listed: Places, rich: int | None = None) -> None:
        self._words = words
        self._available = available
        self._listed = listed
        self._rich = rich
        fitting = [available & counting for counting in words.counting]
        self.counted = sum(1 << count for count, fits in enumerate(fitting) if fits.any())
        self.fewest = (self.counted & -self.counted).bit_length() - 1
        self.letters = words.shortest(fitting[self.fewest])

    def fits(self, number: int, syllables: int) -> bool:
        """Whether the line may end with this word where one of so many syllables is left."""
        at = self._words.place.get(number)
        return at is not None and bool(self._available[at]) and bool(self._words.counts[at] & syllables)

    def beginning(self, syllables: int, letters: int, *, spaced: bool) -> Mask:
        """Return the mask of the tokens that begin such words of at most so many letters."""
        syllables &= self.counted
        listed = self._listed[self._words.fit(self._listed, syllables, letters)]
        tokens = self._words.beginnings(listed, spaced=spaced).ravel()
        if self._rich is None:
            mask = np.zeros(self._words.mask_size + 1, np.bool_)
            mask[tokens] = True
            return mask[:-1]
        left = self._words.rich_begun(self._rich, syllables, letters, spaced=spaced).copy()
        np.subtract.at(left, tokens, _ONE)
        return left[:-1] > 0

    def within(self, reach: Reach, syllables: int, letters: int) -> Truths:
        """Return for each token whether it begins such a word of at most so many letters."""
        if not syllables & self.counted:
            return np.zeros(len(reach.tokens), np.bool_)
        first, last = reach.span
        fitting = self._available[first:last] & self._words.fit(slice(first, last), syllables, letters)
        sums = np.zeros(last - first + 1, np.int32)
        np.add.accumulate(fitting, out=sums[1:])
        return sums[reach.high - first] > sums[reach.low - first]


class Unused:
    """What one text may still end its lines with: no word that sounds like one it has used."""

    def __init__(self, words: EndWords) -> None:
        self._words = words
        self._used: list[Places] = []
        self._rhymes: Counter[int] = Counter()

    def use(self, number: int) -> int:
        """Take away a word of the lexicon, and what sounds like it; returns its rhyme."""
        at = self._words.place[number]
        self._used.append(self._words.sounding.of(self._words.sounds[at]))
        rhyme = int(self._words.rhymes[at])
        self._rhymes[rhyme] += 1
        return rhyme

    def rhyming(self, rhyme: int) -> Ends:
        """Return the words of a rhyme."""
        words = self._words.rhyming.of(rhyme)
        available = np.zeros(len(self._words.rhymes), np.bool_)
        available[words] = True
        for used in self._used:
            available[used] = False
        return Ends(self._words, available, words[available[words]])

    def apart_from(self, rhymes: Iterable[int], *, company: int, spare: int = 0) -> Ends:
        """Return the words of other rhymes than these which have at least so much company, unlike in sound.

        `spare`: how much more is wanted, where there are such words.
        """
        for least in (company + spare, company):
            rich = self._words.rich(least)
            poor = [rhyme for rhyme, used in self._rhymes.items() if self._words.sizes[rhyme] - used <= least]
            available = rich.copy()
            for gone in (*self._used, *(self._words.rhyming.of(rhyme) for rhyme in (*rhymes, *poor))):
                available[gone] = False
            if available.any():
                break
        return Ends(self._words, available, np.flatnonzero(rich & ~available), rich=least)


class Classes:
    """The places of each value in an array of small integers."""

    def __init__(self, values: NDArray[np.int32]) -> None:
        self._places = np.argsort(values, kind="stable")
        self._edges = np.searchsorted(values[self._places], np.arange(int(values.max(initial=0)) + 2))

    def of(self, value: int) -> Places:
        return self._places[self._edges[value] : self._edges[value + 1]]


def _beginnings(reach: Reach, words: int, filler: int) -> Places:
    """Return the tokens that begin each word (words, most), filled up with `filler`."""
    sizes = reach.high - reach.low
    tokens = np.repeat(reach.tokens, sizes)
    of_word = np.arange(len(tokens)) - np.repeat(np.cumsum(sizes) - sizes - reach.low, sizes)
    order = np.argsort(of_word, kind="stable")
    tokens, of_word = tokens[order], of_word[order]
    column = np.arange(len(tokens)) - np.searchsorted(of_word, of_word)
    table = np.full((words, int(column.max(initial=0)) + 1), filler, np.intp)
    table[of_word, column] = tokens
    return table
