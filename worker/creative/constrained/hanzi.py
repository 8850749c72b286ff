"""Chinese characters, their rhymes, and the tokens that write them.

The characters are those of GB 2312, which readers know. A character rhymes by the final of its commonest reading
(pypinyin) in the classes of the New Rhymes of Chinese (中华新韵, 2005), and only in a level tone, as regulated
verse has it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray
from pypinyin import Style, pinyin

from worker.creative.constrained.vocabulary import Mask, Vocabulary

Indices = NDArray[np.int32]
Truths = NDArray[np.bool_]

NO_RHYME = -1
_LEVEL = frozenset("12")
_CLASSES: tuple[tuple[str, ...], ...] = (
    ("a", "ia", "ua"),
    ("o", "e", "uo"),
    ("ie", "ve"),
    ("ai", "uai"),
    ("ei", "uei"),
    ("ao", "iao"),
    ("ou", "iou"),
    ("an", "ian", "uan", "van"),
    ("en", "in", "uen", "vn"),
    ("ang", "iang", "uang"),
    ("eng", "ing", "ueng", "ong", "iong"),
    ("i", "er", "v"),
    ("-i",),  # of zhi chi shi ri, zi ci si
    ("u",),
)
_BYTES = 3  # of every character of GB 2312
_CONTINUATION = range(0x80, 0xC0)  # bytes of a character behind its first
_BUZZING = re.compile(r"([zcs]h?|r)i[0-9]?")


@dataclass(frozen=True)
class Characters:
    """In order: each character, and the class it rhymes in."""

    texts: tuple[bytes, ...]
    rhymes: NDArray[np.int8]


@cache
def characters() -> Characters:
    """Return the characters of GB 2312."""
    found = list(_gb2312())
    rhymes = np.array([_rhyme(character) for character in found], np.int8)
    return Characters(tuple(character.encode() for character in found), rhymes)


@dataclass(frozen=True)
class Reach:
    """What the tokens write that may come behind some bytes of a character, row by row.

    `complete`: characters that are whole by then. `last`: the last of them, -1 if none. `begun`: the bytes of one
    more that is begun, by the number of such a beginning; 0 if none.
    """

    tokens: Indices
    complete: Indices
    last: Indices
    begun: Indices


@dataclass(frozen=True)
class Before:
    """The mask of tokens that do not touch the last character of a line, and those that do.

    `ending`: tokens that complete it, with `last`, the character. `beginning`: tokens that begin it, with `begun`.
    """

    mask: Mask
    ending: Indices
    last: Indices
    beginning: Indices
    begun: Indices


class Hanzi:
    """The characters that a vocabulary can write, and how; a token that writes anything else is not used."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        every = characters()
        writable = [vocabulary.can_write(text) for text in every.texts]
        self.texts = tuple(text for text, can in zip(every.texts, writable, strict=True) if can)
        self.rhymes = every.rhymes[np.array(writable)]
        self.numbers = {text: number for number, text in enumerate(self.texts)}
        self._continuing = [item for item in vocabulary.by_bytes.items() if item[0][0] in _CONTINUATION]
        self._beginnings: dict[bytes, int] = {b"": 0}
        beginnings = [[self._number(text[:length]) for length in range(1, len(text))] for text in self.texts]
        self._begins = np.array(beginnings, np.intp).reshape(-1, _BYTES - 1)

    def can_rhyme(self, most: int) -> bool:
        """Whether verse can be written in which so many characters of one rhyme are used up."""
        punctuation = all(self.vocabulary.can_write(text.encode()) for text in "\uff0c\u3002\n")
        return punctuation and bool(len(self.rhyming(most)))

    def rhyming(self, least: int) -> NDArray[np.int8]:
        """Return the classes of rhyme that have at least so many characters."""
        classes, counts = np.unique(self.rhymes[self.rhymes != NO_RHYME], return_counts=True)
        return classes[counts >= least]

    def begun_by(self, characters: Truths) -> Truths:
        """Return for each beginning of a character whether one of these begins so."""
        begun = np.zeros(len(self._beginnings), np.bool_)
        begun[self._begins.compress(characters, axis=0)] = True  # truths as an index take several times as long
        return begun

    @lru_cache(maxsize=512)  # noqa: B019 - lives as long as its worker
    def before(self, pending: bytes, left: int) -> Before:
        """Sort the tokens that may follow `pending` where so many characters are `left`, that one included."""
        reach = self._reach(pending)
        touched = reach.complete + (reach.begun > 0)
        ending = (reach.complete == left) & (reach.begun == 0)
        beginning = (touched == left) & (reach.begun > 0)
        return Before(
            self.vocabulary.mask_of(reach.tokens[touched < left]),
            reach.tokens[ending],
            reach.last[ending],
            reach.tokens[beginning],
            reach.begun[beginning],
        )

    def read(self, written: bytes) -> tuple[list[int], bytes] | None:
        """Split bytes into characters and the beginning of one more; None if they are no such thing."""
        found: list[int] = []
        at = 0
        while at < len(written):
            number = self.numbers.get(written[at : at + _BYTES])
            if number is None:
                rest = written[at:]
                return (found, rest) if rest in self._beginnings else None
            found.append(number)
            at += _BYTES
        return found, b""

    @lru_cache(maxsize=1024)  # noqa: B019 - lives as long as its worker
    def _reach(self, pending: bytes) -> Reach:
        rows = []
        for written, token in self._continuing if pending else self.vocabulary.by_bytes.items():
            if (read := self.read(pending + written)) is not None:
                found, rest = read
                rows.append((token, len(found), found[-1] if found else -1, self._beginnings[rest]))
        columns = np.array(rows, np.int32).reshape(-1, 4).T
        return Reach(*columns)

    def _number(self, beginning: bytes) -> int:
        return self._beginnings.setdefault(beginning, len(self._beginnings))


def _gb2312() -> Iterator[str]:
    for row in range(0xB0, 0xF8):
        for cell in range(0xA1, 0xFF):
            try:
                yield bytes((row, cell)).decode("gb2312")
            except UnicodeDecodeError:
                continue


def _rhyme(character: str) -> int:
    """Return the class of a character's commonest reading, NO_RHYME if its tone is not level."""
    [[final]] = pinyin(character, style=Style.FINALS_TONE3, strict=True)
    [[syllable]] = pinyin(character, style=Style.TONE3)
    if final[-1:] not in _LEVEL:
        return NO_RHYME
    name = "-i" if _BUZZING.fullmatch(syllable) else final[:-1]
    return next((number for number, finals in enumerate(_CLASSES) if name in finals), NO_RHYME)
