"""The tokens that write English words, as the ranges of words that they leave possible."""

import re
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quire.errors import FormUnfit
from worker.creative.constrained.lexicon import Lexicon
from worker.creative.constrained.prefixes import Continuations, Indices, Prefixes
from worker.creative.constrained.vocabulary import Mask, Vocabulary

BLANK = b" "
PAUSES = (b",", b";", b":", b"!", b"?")
FULL_STOP = b"."

# A line begins with a capital, other words only these: what else has one would begin the next line.
_FIRST = re.compile(rb"[A-Z][a-z']*|'[a-z']*")
_LATER = re.compile(rb"[a-z'][a-z']*|I|I'[a-z]*|O|God|Lord|Christ")
_MIDDLE = re.compile(rb"[a-z']+")


class Reach(NamedTuple):
    """Tokens, and what each leaves possible.

    `near` (MOST_SYLLABLES, tokens): as in Prefixes. `low`, `high`: the range of `Words.ends` that begin with what
    is then written. `span`: a range that holds all of these.
    """

    tokens: Indices
    near: NDArray[np.int8]
    low: Indices
    high: Indices
    span: tuple[int, int]


class Words:
    """The words of a lexicon as a vocabulary writes them. What else a token may write is not used.

    `bare`, `spaced`: the tokens that begin a word, without a blank and with it. `counts`: how many syllables each
    word may have. `ends`: the numbers of the words that may end a line.
    Raises FormUnfit if the vocabulary lacks letters, blanks or short words.
    """

    def __init__(self, vocabulary: Vocabulary, lexicon: Lexicon) -> None:
        self.vocabulary = vocabulary
        pauses = [token for text in PAUSES if (token := vocabulary.by_bytes.get(text)) is not None]
        self.pauses = np.array(pauses, np.intp)
        self.full_stop = vocabulary.by_bytes.get(FULL_STOP)
        middles = {text: t for text, t in vocabulary.by_bytes.items() if _MIDDLE.fullmatch(text)}
        spaced = {text[1:]: t for text, t in vocabulary.by_bytes.items() if text[:1] == BLANK and text != BLANK}
        bare = {text: t for text, t in vocabulary.by_bytes.items() if _FIRST.fullmatch(text)}
        begun = {text.lower() for text in bare} & spaced.keys()
        self.lexicon = lexicon.only([_writable(word, begun, middles) for word in lexicon.words])
        if b"a" not in spaced or self.full_stop is None or not self.lexicon.words:
            raise FormUnfit.because("its tokens are too small for words of verse")
        self.counts = [tuple(_bits(int(bits))) for bits in self.lexicon.syllables]
        self.ends = np.flatnonzero(self.lexicon.ends).astype(np.int32)
        self._numbers = {word: number for number, word in enumerate(self.lexicon.words)}
        self._prefixes = Prefixes(self.lexicon.words, self.lexicon.syllables)
        self._low, self._high = (
            np.searchsorted(self.ends, edge).astype(np.int32) for edge in (self._prefixes.low, self._prefixes.high)
        )
        self.bare = self._begun(bare.items())
        self.spaced = self._begun(item for item in spaced.items() if _LATER.fullmatch(item[0]))
        self._continuations = Continuations(self._prefixes.place, middles)
        self._onward = self._reach(self._continuations.tokens, self._continuations.longer)

    def number(self, word: bytes) -> int | None:
        """Return the place of a word in the lexicon; None if it is none."""
        return self._numbers.get(word)

    def is_begun(self, prefix: bytes) -> bool:
        """Whether some word begins like this."""
        return prefix in self._prefixes.place

    def onward(self, prefix: bytes) -> Reach:
        """Return the tokens that go on with a word of which `prefix` is written."""
        number, every = self._prefixes.place[prefix], self._onward
        pairs, span = self._continuations.of(number), (int(self._low[number]), int(self._high[number]))
        return Reach(every.tokens[pairs], every.near[:, pairs], every.low[pairs], every.high[pairs], span)

    @lru_cache(maxsize=256)  # noqa: B019 - lives as long as its worker
    def beginnings(self, spaced: bool, syllables: int, letters: int) -> Mask:
        """Return the mask of tokens that begin words of at most so many syllables, with so many letters left.

        0 syllables: none.
        """
        if syllables == 0:
            return self.vocabulary.mask_of([])
        reach = self.spaced if spaced else self.bare
        return self.vocabulary.mask_of(reach.tokens[reach.near[syllables - 1] <= letters])

    def _begun(self, written: Iterable[tuple[bytes, int]]) -> Reach:
        """Return what each beginning of a word leaves, without those that leave nothing."""
        place = self._prefixes.place
        found = [(token, place[text.lower()]) for text, token in written if text.lower() in place]
        tokens, numbers = np.array(found, np.int32).reshape(-1, 2).T
        return self._reach(tokens, numbers)

    def _reach(self, tokens: Indices, numbers: Indices) -> Reach:
        near = self._prefixes.near[:, numbers]
        return Reach(tokens, near, self._low[numbers], self._high[numbers], (0, len(self.ends)))


def _writable(word: bytes, begun: AbstractSet[bytes], middles: Mapping[bytes, int]) -> bool:
    """Whether a word can be written letter by letter, at the start of a line and behind a blank."""
    return word[:1] in begun and all(word[at : at + 1] in middles for at in range(len(word)))


def _bits(value: int) -> Iterator[int]:
    while value:
        yield (value & -value).bit_length() - 1
        value &= value - 1
