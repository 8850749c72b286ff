"""Reads a tune in ABC and says what is wrong with it.

It looks at whole notes, bars and sections, in fractions, and shares nothing with the grammar that tunes are
written by: what one of the two has misunderstood, the other finds.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

INTERVALS = {
    "major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10), "dorian": (0, 2, 3, 5, 7, 9, 10),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10), "phrygian": (0, 1, 3, 5, 7, 8, 10), "lydian": (0, 2, 4, 6, 7, 9, 11),
    "locrian": (0, 1, 3, 5, 6, 8, 10),
}  # fmt: skip
# What suits a mode beside its own notes, in semitones above the tonic.
SUITING = {
    "major": {6, 10},
    "lydian": {10},
    "mixolydian": {11},
    "minor": {9, 11},
    "dorian": {11},
    "phrygian": {11},
}
NATURAL = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
MIDDLE_C = 60

ELEMENT = re.compile(
    r"(?P<barline>:\|\s*\[?2(?!\d)|:\||\|\s*\[?1(?!\d)|\|:|\|\]|\|)"
    r"|(?P<triplet>\(3)"
    r"|(?P<broken>[<>])"
    r"|(?P<accidental>[\^_=]?)(?P<letter>[A-Ga-gz])(?P<octave>[,']?)(?P<times>\d*)(?P<slash>/?)(?P<parts>\d*)"
    r"(?P<tie>-?)"
    r"|(?P<blank>[ \n])"
)


class NotATune(Exception):
    """Something in the text has no meaning here; the message says what and where."""


@dataclass(frozen=True)
class Note:
    """One note or rest as it sounds. Lengths are parts of a whole note."""

    length: Fraction
    pitch: int | None  # MIDI's, None for a rest
    altered: bool = False  # it has an accidental of its own
    tied: bool = False  # to the next


@dataclass
class Measure:
    """What stands between two barlines, and which they are."""

    left: str
    notes: list[Note] = field(default_factory=list)
    right: str = ""

    @property
    def length(self) -> Fraction:
        return sum((note.length for note in self.notes), Fraction(0))


@dataclass(frozen=True)
class Tune:
    """A tune: the header's fields by their letter, and its measures as they are written."""

    fields: Mapping[str, str]
    measures: Sequence[Measure]

    def sections(self) -> list[list[Measure]]:
        """Return the measures from one repeat sign, double ending or beginning to the next."""
        sections: list[list[Measure]] = [[]]
        for measure in self.measures:
            behind_ending = sections[-1] and sections[-1][-1].left == ":|2"
            if sections[-1] and (measure.left in {"|:", ":|"} or behind_ending):
                sections.append([])
            sections[-1].append(measure)
        return sections

    def played(self) -> Iterator[Note]:
        """Yield every note in the order of playing, repeats included."""
        for section in self.sections():
            first = [measure for measure in section if measure.left != ":|2"]
            second = [measure for measure in section if measure.left != "|1"]
            repeated = any(measure.right in {":|", ":|2"} for measure in section)
            for measure in [*first, *second] if repeated else section:
                yield from measure.notes


def read(abc: str) -> Tune:
    """Read a tune of one voice.

    Raises:
        NotATune: it has no header, or something in its body is not understood.

    """
    header = re.match(r"(?:[A-Za-z]:[^\n]*\n|%[^\n]*\n)*", abc)
    fields: dict[str, str] = {}
    end = header.end() if header else 0
    for line in abc[:end].splitlines():
        if not line.startswith("%"):
            fields.setdefault(line[0], line[2:].strip())
    if not {"X", "M", "L", "K"} <= fields.keys():
        raise NotATune("the header lacks X, M, L or K")
    reader = _Reader(Fraction(fields["L"]), signature(*key_of(fields["K"])))
    return Tune(fields, reader.read(abc[end:].rstrip("\n")))


def key_of(text: str) -> tuple[str, str]:
    """Split a K: field into tonic and mode."""
    found = re.fullmatch(r"([A-G][#b]?)\s*([a-z]*)", text)
    named = {"": "major", "m": "minor"}.get(found[2], found[2]) if found else ""
    modes = [mode for mode in INTERVALS if mode.startswith(named)]
    if not found or not modes:
        raise NotATune(f"K:{text} is no key")
    return found[1], modes[0]


def tonic_pitch(tonic: str) -> int:
    return NATURAL[tonic[0]] + tonic.count("#") - tonic.count("b")


def signature(tonic: str, mode: str) -> dict[str, int]:
    """Return by how many semitones each letter is altered: the scale has each letter once, in order."""
    letters = "CDEFGAB"
    first = letters.index(tonic[0])
    altered = {}
    for degree, interval in enumerate(INTERVALS[mode]):
        letter = letters[(first + degree) % 7]
        altered[letter] = (tonic_pitch(tonic) + interval - NATURAL[letter] + 6) % 12 - 6
    return altered


class _Reader:
    """Reads a body from its beginning to its end, once."""

    def __init__(self, unit: Fraction, altered: Mapping[str, int]) -> None:
        self._unit = unit
        self._altered = altered
        self._measures = [Measure(left="")]
        self._here: dict[
            str, int
        ] = {}  # accidentals, which hold to the end of the bar, in all octaves (ABC 2.1, 4.2)
        self._triplet = 0  # notes of it still to come
        self._factor = Fraction(1)  # of the next note, after > or <

    def read(self, body: str) -> list[Measure]:
        at = 0
        while at < len(body):
            found = ELEMENT.match(body, at)
            if found is None:
                raise NotATune(f"{body[at : at + 8]!r} in bar {len(self._measures)} is not understood")
            at = found.end()
            if barline := found["barline"]:
                self._bar(re.sub(r"[\[\s]", "", barline))  # an ending is |1 or :|2 here, however it is written
            elif found["triplet"]:
                self._triplet = 3
            elif broken := found["broken"]:
                self._break(broken)
            elif found["letter"]:
                self._note(found)
        if self._triplet or self._factor != 1:
            raise NotATune("the tune ends inside a triplet or a dotted pair")
        if self._measures[-1].notes:
            raise NotATune("the tune does not end with a barline")
        return self._measures[:-1]

    def _bar(self, barline: str) -> None:
        self._here = {}
        if self._measures[-1].notes:
            self._measures[-1].right = barline
            self._measures.append(Measure(left=barline))
        else:
            self._measures[-1].left = barline

    def _break(self, sign: str) -> None:
        notes = self._measures[-1].notes
        if not notes or self._factor != 1:
            raise NotATune(f"a {sign} without a note before it in bar {len(self._measures)}")
        last = notes.pop()
        self._factor = Fraction(1, 2) if sign == ">" else Fraction(3, 2)
        notes.append(replace(last, length=last.length * (2 - self._factor)))

    def _note(self, found: re.Match[str]) -> None:
        times, parts = int(found["times"] or 1), int(found["parts"] or (2 if found["slash"] else 1))
        length = self._unit * Fraction(times, parts) * self._factor * (Fraction(2, 3) if self._triplet else 1)
        self._triplet, self._factor = max(0, self._triplet - 1), Fraction(1)
        pitch = None if found["letter"] == "z" else self._pitch(found)
        note = Note(length, pitch, altered=bool(found["accidental"]), tied=bool(found["tie"]))
        self._measures[-1].notes.append(note)

    def _pitch(self, found: re.Match[str]) -> int:
        letter = found["letter"]
        name = letter.upper()
        if found["accidental"]:
            self._here[name] = {"^": 1, "_": -1, "=": 0}[found["accidental"]]
        alteration = self._here.get(name, self._altered[name])
        octave = letter.islower() + found["octave"].count("'") - found["octave"].count(",")
        return MIDDLE_C + NATURAL[name] + alteration + 12 * octave
