"""Which meter a block of English verse is in, by the pronunciations of the CMU dictionary.

Only words of two syllables and more tell the beat; a word that the dictionary does not
have counts a syllable for each group of vowels and tells nothing.
"""

import re
from collections.abc import Mapping, Sequence

from training.text.verse import WORD

VOWELS = re.compile(r"[aeiouy]+")
SILENT = re.compile(r"(?:[^aeiouytd]ed|[^aeiouyl]e)$")
LEAST_TOLD = 6
"""Words that must tell the beat before a block is said to have one."""
IN_STEP = 0.8
"""Share of the telling stresses that fall on the beat."""
IN_LENGTH = 0.75
"""Share of the lines that have the meter's number of syllables."""
Stresses = Mapping[str, str]


def read_dictionary(text: str) -> dict[str, str]:
    """Stress digits of each word's first pronunciation, such as `010`; keys are lower case."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        word, _, phones = line.partition(" ")
        if word[:1].isalpha() and "(" not in word:
            found.setdefault(word.lower(), "".join(c for c in phones if c.isdigit()))
    return found


def word_stresses(word: str, dictionary: Stresses) -> str:
    """Stress digits of a word; `?` for each syllable that nothing is known about."""
    known = dictionary.get(word) or dictionary.get(word.replace("'", ""))
    if known:
        return known if len(known) > 1 else "?"
    plain = word.replace("'", "")
    groups = len(VOWELS.findall(plain)) - bool(SILENT.search(plain) and len(VOWELS.findall(plain)) > 1)
    return "?" * max(1, groups)


def line_stresses(line: str, dictionary: Stresses) -> str:
    """Stress digits of a whole line."""
    return "".join(word_stresses(word, dictionary) for word in WORD.findall(line.lower()))


def share_in_length(lengths: Sequence[int], wanted: Sequence[int]) -> float:
    """Share of lines within a syllable of the wanted number, which goes round."""
    near = [abs(length - wanted[i % len(wanted)]) <= 1 for i, length in enumerate(lengths)]
    return sum(near) / len(near)


def meter_of(lines: Sequence[str], dictionary: Stresses) -> str:
    """The meter of a block, one of `quire.headers.METERS`; empty where none is clear."""
    stresses = [line_stresses(line, dictionary) for line in lines]
    # The first foot is often turned round, so it does not vote.
    beats = [place % 2 for line in stresses for place, c in enumerate(line) if c == "1" and place > 1]
    if len(beats) < LEAST_TOLD:
        return ""
    rising = sum(beats) / len(beats)
    lengths = [len(line) for line in stresses]
    if rising >= IN_STEP:
        for name, wanted in (("trimeter", 6), ("tetrameter", 8), ("pentameter", 10)):
            exact = sum(length == wanted for length in lengths) / len(lengths)
            if exact >= IN_LENGTH / 2 and share_in_length(lengths, [wanted]) >= IN_LENGTH:
                return f"iambic {name}"
        if max(share_in_length(lengths, [8, 6]), share_in_length(lengths, [6, 8])) >= IN_LENGTH:
            return "ballad meter"
    if rising <= 1 - IN_STEP and share_in_length(lengths, [8]) >= IN_LENGTH:
        return "trochaic tetrameter"
    return ""
