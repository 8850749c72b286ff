"""English words with their syllables and rhymes.

A word's syllables are those of any of its pronunciations. It rhymes by its first one, from the last stressed vowel
on; words that sound alike do not rhyme with each other. A feminine ending, whose last syllable is unstressed, may
be left out of the count at the end of a line.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from worker.creative.constrained.dictionary import Phones, Word, words

Bits = NDArray[np.uint16]  # bit k: k syllables

NO_RHYME = -1
MOST_SYLLABLES = 6
MOST_END_SYLLABLES = 3

_UNSTRESSED = "0"
# No line of verse is broken behind these.
_WEAK = frozenset((
    "a", "am", "an", "and", "are", "as", "at", "but", "by", "for", "from", "his", "if", "into", "is", "its", "my",
    "nor", "of", "or", "our", "than", "that", "the", "their", "thy", "to", "was", "were", "with", "your",
))  # fmt: skip


@dataclass(frozen=True)
class Lexicon:
    """Words in the order of their letters; the other columns go with them.

    `syllables`: how many a word may have. `ends`: how many it may count for at the end of a line, none if it
    may not stand there. `rhymes`: its class, NO_RHYME if it has none. `sounds`: the same for words that sound
    alike.
    """

    words: tuple[bytes, ...]
    syllables: Bits
    ends: Bits
    rhymes: NDArray[np.int32]
    sounds: NDArray[np.int32]

    def only(self, chosen: Sequence[bool]) -> "Lexicon":
        """Return the words that are chosen."""
        kept = np.flatnonzero(np.array(chosen, np.bool_))
        texts = tuple(self.words[number] for number in kept)
        return Lexicon(texts, self.syllables[kept], self.ends[kept], self.rhymes[kept], self.sounds[kept])


@cache
def lexicon() -> Lexicon:
    """Return the words of verse; the first call takes seconds."""
    return lexicon_of(words())


def lexicon_of(entries: Iterable[Word]) -> Lexicon:
    """Build a lexicon; a word that has too many syllables in some pronunciation is left out."""
    kept = sorted((word for word in entries if _is_counted(word)), key=lambda word: word.text)
    classes: dict[Phones, int] = {}
    sounds: dict[Phones, int] = {}
    rhymes, sounding = [], []
    for word in kept:
        rhyme = rhyming_part(word.said[0])
        rhymes.append(classes.setdefault(rhyme, len(classes)) if rhyme else NO_RHYME)
        sounding.append(sounds.setdefault(word.said[0], len(sounds)))
    return Lexicon(
        tuple(word.text.encode() for word in kept),
        np.array([_bits(count_syllables(phones) for phones in word.said) for word in kept], np.uint16),
        np.array([_ends(word) for word in kept], np.uint16),
        np.array(rhymes, np.int32),
        np.array(sounding, np.int32),
    )


def rhyming_part(phones: Phones) -> Phones:
    """Return the sounds from the last stressed vowel on, without degrees of stress; empty if none is stressed."""
    for at in range(len(phones) - 1, -1, -1):
        if phones[at][-1] in "12":
            return tuple(phone.rstrip("012") for phone in phones[at:])
    return ()


def count_syllables(phones: Phones) -> int:
    return sum(phone[-1].isdigit() for phone in phones)


def _is_counted(word: Word) -> bool:
    return all(1 <= count_syllables(phones) <= MOST_SYLLABLES for phones in word.said)


def _ends(word: Word) -> int:
    first = word.said[0]
    if not word.known or word.text in _WEAK or not rhyming_part(first):
        return 0
    if count_syllables(first) > MOST_END_SYLLABLES:
        return 0
    return _bits(count for phones in word.said for count in _end_counts(phones))


def _end_counts(phones: Phones) -> Iterator[int]:
    count = count_syllables(phones)
    yield count
    if count > 1 and [phone for phone in phones if phone[-1].isdigit()][-1].endswith(_UNSTRESSED):
        yield count - 1


def _bits(counts: Iterable[int]) -> int:
    return sum({1 << count for count in counts})
