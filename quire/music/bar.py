"""The inside of one bar, read character by character: notes, rests, triplets, dotted pairs, and blanks.

Every place that can be reached can be left again towards the end of the bar: a character is taken only if what
remains of the bar can still be filled after it.
"""

from enum import StrEnum
from functools import cache
from typing import NamedTuple

from quire.music.keys import Key
from quire.music.lengths import PAIRED, TICKS, fewest, fitting, written

UPPER, LOWER = "CDEFGAB", "cdefgab"
REST = "z"
ACCIDENTALS = "^_="
LONGEST_REST = 24  # a quarter
BEGINNINGS = frozenset(text[:count] for text in TICKS for count in range(1, len(text) + 1))


class At(StrEnum):
    """What was read last."""

    START = "start"  # nothing of this bar
    BLANK = "blank"
    ACCIDENTAL = "accidental"
    NOTE = "note"  # its length is not settled before the character after it
    REST = "rest"  # nor is this one's
    SETTLED = "settled"
    TIE = "tie"
    BROKEN = "broken"  # > or <
    PARENTHESIS = "parenthesis"
    THREE = "three"  # of "(3"


PENDING = frozenset({At.NOTE, At.REST})
BETWEEN = frozenset({At.START, At.BLANK, At.SETTLED})


class Inside(NamedTuple):
    """A place inside a bar."""

    position: int  # ticks before the note that is being read
    capacity: int  # ticks of the whole bar
    at: At = At.START
    accidental: str = ""  # of the note that is to come
    length: str = ""  # of the note that is being read
    mark: str = ""  # of an octave, that may follow now
    notes: int = 0  # still to come of a triplet or pair, the one that is being read included
    each: int = 0  # ticks that each of those is written with; 0: the first one decides
    sounding: int = 0  # ticks that the second of a pair sounds; 0: a triplet
    letter: str = ""  # of the last note, where it may be tied

    @property
    def left(self) -> int:
        return self.capacity - self.position


class Bars:
    """The rules inside the bars of a key.

    `accidentals`: allow those that suit the key, beside its own notes. `loose`: read also what no tune needs to be
    written with: blanks, ties, and pairs dotted by > and <.
    """

    def __init__(self, key: Key, *, accidentals: bool, loose: bool) -> None:
        self._accidentals = key.accidentals if accidentals else {}
        self._loose = loose
        # The same few thousand places come in every bar of every tune.
        self.step = cache(self._step)
        self.cost = cache(self._cost)

    def _step(self, inside: Inside, char: str) -> Inside | None:
        """Read one character; None if it must not stand there. Barlines are not read here."""
        if inside.at in PENDING and (longer := self._lengthened(inside, char)):
            return longer
        if inside.at is At.PARENTHESIS:
            return inside._replace(at=At.THREE, notes=3) if char == "3" else None
        if char in {">", "<"}:
            return self._broken(inside, char) if self._loose else None
        settled = self.settled(inside)
        if settled is None:
            return None
        if char == "-":
            return settled._replace(at=At.TIE) if self._loose and inside.at is At.NOTE else None
        if char == " ":
            # It is needed where one letter fills a bar: a colon behind that would make it a field.
            may = self._loose or not (settled.left or inside.position)
            may = may and settled.at in {At.SETTLED, At.TIE} and not settled.notes
            return settled._replace(at=At.BLANK) if may else None
        return self._begun(settled, char, after_rest=inside.at is At.REST) if settled.left else None

    def settled(self, inside: Inside) -> Inside | None:
        """Return the place after the note that is being read; None if it cannot end here."""
        if inside.at not in PENDING:
            return inside
        if inside.length not in self._lengths(inside):
            return None
        ticks = TICKS[inside.length]
        after = inside._replace(at=At.SETTLED, length="", mark="")
        if not inside.notes:
            return after._replace(position=inside.position + ticks)
        left = inside.notes - 1
        sounding = inside.sounding or ticks * 2 // 3
        return after._replace(
            position=inside.position + sounding,
            notes=left,
            each=ticks if left else 0,
            sounding=inside.sounding if left else 0,
        )

    def closed(self, inside: Inside) -> Inside | None:
        """Return the place with all that was read settled; None where no barline can follow."""
        settled = self.settled(inside)
        whole = settled is not None and not settled.notes and settled.at in {At.SETTLED, At.BLANK, At.TIE}
        return settled if whole else None

    def _cost(self, inside: Inside) -> int:
        """Return a number of characters with which the bar can be filled from here, the fewest or nearly so."""
        if inside.at in PENDING:
            ways = [
                len(text) - len(inside.length) + self.cost(settled)
                for text in self._lengths(inside)
                if text.startswith(inside.length) and (settled := self.settled(inside._replace(length=text)))
            ]
            return min(ways)
        if inside.at is At.PARENTHESIS:
            return 1 + self.cost(inside._replace(at=At.THREE, notes=3))
        if not inside.notes:
            return fewest(inside.position, inside.left)
        each = inside.each or (12 if inside.left >= 24 else 6)
        taken = inside.notes * (inside.sounding or each * 2 // 3)
        letters = inside.notes * (1 + min(map(len, written(each))))
        return letters + fewest(inside.position + taken, inside.left - taken)

    def _begun(self, inside: Inside, char: str, *, after_rest: bool) -> Inside | None:
        """Read the beginning of a note, of a rest or of a triplet; there is room for one."""
        if char == "(":
            room = inside.left >= 2 * min(PAIRED) and inside.position % 6 == 0
            return (
                inside._replace(at=At.PARENTHESIS) if room and inside.at in BETWEEN and not inside.notes else None
            )
        if char == REST:
            may = inside.at in BETWEEN and not inside.notes and not after_rest
            return inside._replace(at=At.REST) if may else None
        if char in ACCIDENTALS:
            may = inside.at is not At.ACCIDENTAL and any(char in each for each in self._accidentals.values())
            return inside._replace(at=At.ACCIDENTAL, accidental=char) if may else None
        if char not in UPPER and char not in LOWER:
            return None
        if inside.accidental and inside.accidental not in self._accidentals.get(char.upper(), ()):
            return None
        if inside.at is At.TIE and char != inside.letter:
            return None
        mark = "," if char in UPPER else "'"
        return inside._replace(at=At.NOTE, accidental="", mark=mark, letter=char if self._loose else "")

    def _lengthened(self, inside: Inside, char: str) -> Inside | None:
        """Read what belongs to the note that is being read: the mark of its octave, its length."""
        if char == inside.mark:
            return inside._replace(mark="")
        length = inside.length + char
        if length in BEGINNINGS and any(text.startswith(length) for text in self._lengths(inside)):
            return inside._replace(length=length, mark="")
        return None

    def _broken(self, inside: Inside, char: str) -> Inside | None:
        """Join the note that is being read to the next: > lengthens it by what the next loses, < the reverse."""
        if inside.at is not At.NOTE or inside.notes or inside.length not in self._lengths(inside):
            return None
        ticks = TICKS[inside.length]
        if ticks not in PAIRED or 2 * ticks > inside.left or inside.position % 6:
            return None
        long, short = ticks * 3 // 2, ticks // 2
        first, second = (long, short) if char == ">" else (short, long)
        return inside._replace(
            at=At.BROKEN, position=inside.position + first, length="", mark="",
            notes=1, each=ticks, sounding=second,
        )  # fmt: skip

    @staticmethod
    def _lengths(inside: Inside) -> frozenset[str]:
        """Return the lengths that the note or rest which is being read may have, as they are written."""
        if inside.each:
            return written(inside.each)
        if inside.notes:
            return frozenset(text for text, ticks in TICKS.items() if ticks in PAIRED and 2 * ticks <= inside.left)
        lengths = fitting(inside.position, inside.left)
        if inside.at is At.REST:
            return frozenset(text for text in lengths if TICKS[text] <= LONGEST_REST)
        return lengths
