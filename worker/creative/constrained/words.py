"""The tokens that write English words, as the ranges of words that they leave possible."""

import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from quire.errors import FormUnfit
from worker.creative.constrained.dictionary import LONGEST
from worker.creative.constrained.lexicon import MOST_SYLLABLES, Lexicon
from worker.creative.constrained.vocabulary import Mask, Vocabulary

Indices = NDArray[np.int32]

BLANK = b" "
PAUSES = (b",", b";", b":", b"!", b"?")
FULL_STOP = b"."
NEVER = 127  # letters that are left where no word can be reached

# A line begins with a capital, other words only these: what else has one would begin the next line.
_FIRST = re.compile(rb"[A-Z][a-z']*|'[a-z']*")
_LATER = re.compile(rb"[a-z'][a-z']*|I|I'[a-z]*|O|God|Lord|Christ")
_MIDDLE = re.compile(rb"[a-z']+")
_AFTER_ALL = b"\x7f"  # behind every letter
_TEXT = np.dtype(f"S{LONGEST + 1}")
_LISTED = 2000  # words; longer lists are searched in another way


@dataclass(frozen=True)
class Reach:
    """Tokens, and what each leaves possible.

    `near` (MOST_SYLLABLES, tokens): in row s - 1, the letters to the nearest end of a word of at most s syllables,
    NEVER if there is none. `low`, `high`: the range of `Words.ends` that begin with what is then written. `span`:
    the range that holds all of these.
    """

    tokens: Indices
    near: NDArray[np.int8]
    low: Indices
    high: Indices
    span: tuple[int, int]


class Words:
    """The words of a lexicon as a vocabulary writes them. What else a token may write is not used.

    `bare`, `spaced`: the tokens that begin a word, without a blank and with it. `ends`: the numbers of the words
    that may end a line.
    Raises FormUnfit if the vocabulary lacks letters, blanks or short words.
    """

    def __init__(self, vocabulary: Vocabulary, lexicon: Lexicon) -> None:
        self.vocabulary = vocabulary
        self.pauses = [token for text in PAUSES if (token := vocabulary.by_bytes.get(text)) is not None]
        self.full_stop = vocabulary.by_bytes.get(FULL_STOP)
        self._middles = {text: t for text, t in vocabulary.by_bytes.items() if _MIDDLE.fullmatch(text)}
        spaced = {text[1:]: t for text, t in vocabulary.by_bytes.items() if text[:1] == BLANK and text != BLANK}
        firsts = {text.lower() for text in vocabulary.by_bytes if _FIRST.fullmatch(text)}
        begun = firsts & spaced.keys()
        self.lexicon = lexicon.only([_writable(word, begun, self._middles) for word in lexicon.words])
        if b"a" not in spaced or self.full_stop is None or not self.lexicon.words:
            raise FormUnfit.because("its tokens are too small for words of verse")
        self._sorted = np.array(self.lexicon.words, dtype=_TEXT)
        lengths = np.array([len(word) for word in self.lexicon.words], np.int8)
        fewest = _lowest_bit(self.lexicon.syllables)
        counts = range(1, MOST_SYLLABLES + 1)
        self._shortest = _Least(np.stack([np.where(fewest <= count, lengths, np.int8(NEVER)) for count in counts]))
        self.ends = np.flatnonzero(self.lexicon.ends).astype(np.int32)
        self.bare = self._reach(item for item in vocabulary.by_bytes.items() if _FIRST.fullmatch(item[0]))
        self.spaced = self._reach(item for item in spaced.items() if _LATER.fullmatch(item[0]))

    def number(self, word: bytes) -> int | None:
        """Return the place of a word in the lexicon; None if it is none."""
        at = bisect_left(self.lexicon.words, word)
        return at if at < len(self.lexicon.words) and self.lexicon.words[at] == word else None

    def is_begun(self, prefix: bytes) -> bool:
        """Whether some word begins like this."""
        at = bisect_left(self.lexicon.words, prefix)
        return at < len(self.lexicon.words) and self.lexicon.words[at].startswith(prefix)

    @lru_cache(maxsize=8192)  # noqa: B019 - lives as long as its worker
    def onward(self, prefix: bytes) -> Reach:
        """Return the tokens that go on with a word of which `prefix` is written."""
        words = self.lexicon.words
        low, high = bisect_left(words, prefix), bisect_left(words, prefix + _AFTER_ALL)
        if high - low > _LISTED:
            return self._reach((prefix + text, token) for text, token in self._middles.items())
        rests = {word[len(prefix) :] for word in words[low:high]}
        most = self.vocabulary.longest
        onward = {rest[:length] for rest in rests for length in range(1, min(len(rest), most) + 1)}
        return self._reach((prefix + text, t) for text in onward if (t := self._middles.get(text)) is not None)

    @lru_cache(maxsize=256)  # noqa: B019 - lives as long as its worker
    def beginnings(self, spaced: bool, syllables: int, letters: int) -> Mask:
        """Return the mask of tokens that begin words of at most so many syllables, with so many letters left.

        0 syllables: none.
        """
        if syllables == 0:
            return self.vocabulary.mask_of([])
        reach = self.spaced if spaced else self.bare
        return self.vocabulary.mask_of(reach.tokens[reach.near[syllables - 1] <= letters])

    def _reach(self, written: Iterable[tuple[bytes, int]]) -> Reach:
        """Return what each beginning of a word leaves, without those that leave nothing."""
        begun = [(text.lower(), token) for text, token in written if len(text) <= LONGEST]
        texts = [text for text, _ in begun]
        low = np.searchsorted(self._sorted, np.array(texts, dtype=_TEXT))
        high = np.searchsorted(self._sorted, np.array([text + _AFTER_ALL for text in texts], dtype=_TEXT))
        kept = np.flatnonzero(high > low)
        low, high = low[kept], high[kept]
        written_letters = np.array([len(texts[i]) for i in kept], np.int8)
        least = self._shortest.between(low, high)
        first, last = (np.searchsorted(self.ends, edge).astype(np.int32) for edge in (low, high))
        return Reach(
            np.array([begun[i][1] for i in kept], np.int32),
            np.where(least == NEVER, NEVER, least - written_letters).astype(np.int8),
            first,
            last,
            (int(first.min()), int(last.max())) if kept.size else (0, 0),
        )


class _Least:
    """The least of any range of columns, for each row: from the least of all ranges of 1, 2, 4, 8 … columns."""

    def __init__(self, values: NDArray[np.int8]) -> None:
        self._tables = [values]
        while 2 * (step := 1 << (len(self._tables) - 1)) <= values.shape[1]:
            table = self._tables[-1]
            self._tables.append(np.minimum(table[:, :-step], table[:, step:]))

    def between(self, low: NDArray[np.intp], high: NDArray[np.intp]) -> NDArray[np.int8]:
        """Return (rows, ranges); each range has at least one column."""
        least = np.empty((self._tables[0].shape[0], len(low)), np.int8)
        # Two ranges of the largest power of two that fits cover a range.
        powers = np.frexp(high - low)[1] - 1
        for power in np.unique(powers):
            these = np.flatnonzero(powers == power)
            table = self._tables[power]
            least[:, these] = np.minimum(table[:, low[these]], table[:, high[these] - (1 << int(power))])
        return least


def _writable(word: bytes, begun: AbstractSet[bytes], middles: Mapping[bytes, int]) -> bool:
    """Whether a word can be written letter by letter, at the start of a line and behind a blank."""
    return word[:1] in begun and all(word[at : at + 1] in middles for at in range(len(word)))


def _lowest_bit(bits: NDArray[np.uint16]) -> NDArray[np.int8]:
    return np.array([(int(value) & -int(value)).bit_length() - 1 for value in bits], np.int8)
