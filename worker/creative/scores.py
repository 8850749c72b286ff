"""Reads a tune in ABC and says what is wrong with it.

It looks at whole notes, bars and sections, in fractions, and shares nothing with the grammar that tunes are written
by: what one of the two has misunderstood, the other finds.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

INTERVALS = {
    "major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10), "dorian": (0, 2, 3, 5, 7, 9, 10),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10), "phrygian": (0, 1, 3, 5, 7, 8, 10), "lydian": (0, 2, 4, 6, 7, 9, 11),
    "locrian": (0, 1, 3, 5, 6, 8, 10),
}  # fmt: skip
# What suits a mode beside its own notes, in semitones above the tonic.
SUITING = {"major": {6, 10}, "lydian": {10}, "mixolydian": {11}, "minor": {9, 11}, "dorian": {11}, "phrygian": {11}}
NATURAL = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
MIDDLE_C = 60

ELEMENT = re.compile(
    r"(?P<barline>:\|2|:\||\|1|\|:|\|\]|\|)"
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
    header, fields = re.match(r"(?:[A-Za-z]:[^\n]*\n|%[^\n]*\n)*", abc), {}
    end = header.end() if header else 0
    for line in abc[:end].splitlines():
        if not line.startswith("%"):
            fields.setdefault(line[0], line[2:].strip())
    if not {"X", "M", "L", "K"} <= fields.keys():
        raise NotATune("the header lacks X, M, L or K")
    return Tune(fields, _measures(abc[end:].rstrip("\n"), Fraction(fields["L"]), signature(*key_of(fields["K"]))))


def key_of(text: str) -> tuple[str, str]:
    """Split a K: field into tonic and mode."""
    found = re.fullmatch(r"([A-G][#b]?)\s*([a-z]*)", text)
    modes = [mode for mode in INTERVALS if found and mode.startswith(found[2] or "major")]
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


def _measures(body: str, unit: Fraction, altered: Mapping[str, int]) -> list[Measure]:
    measures = [Measure(left="")]
    here: dict[str, int] = {}  # accidentals hold to the end of the bar, in their octave
    triplet, factor, at = 0, Fraction(1), 0
    while at < len(body):
        found = ELEMENT.match(body, at)
        if found is None:
            raise NotATune(f"{body[at : at + 8]!r} in bar {len(measures)} is not understood")
        at = found.end()
        measure = measures[-1]
        if barline := found["barline"]:
            here = {}
            if measure.notes:
                measure.right = barline
                measures.append(Measure(left=barline))
            else:
                measure.left = barline
        elif found["triplet"]:
            triplet = 3
        elif broken := found["broken"]:
            if not measure.notes or factor != 1:
                raise NotATune(f"a {broken} without a note before it in bar {len(measures)}")
            last = measure.notes.pop()
            factor = Fraction(1, 2) if broken == ">" else Fraction(3, 2)
            measure.notes.append(Note(last.length * (2 - factor), last.pitch, last.altered, last.tied))
        elif letter := found["letter"]:
            length = unit * Fraction(int(found["times"] or 1), int(found["parts"] or (2 if found["slash"] else 1)))
            length *= factor * (Fraction(2, 3) if triplet else 1)
            triplet, factor = max(0, triplet - 1), Fraction(1)
            pitch = None
            if letter != "z":
                name = letter + found["octave"]
                if found["accidental"]:
                    here[name] = {"^": 1, "_": -1, "=": 0}[found["accidental"]]
                alteration = here.get(name, altered[letter.upper()])
                octave = letter.islower() + found["octave"].count("'") - found["octave"].count(",")
                pitch = MIDDLE_C + NATURAL[letter.upper()] + alteration + 12 * octave
            measure.notes.append(Note(length, pitch, bool(found["accidental"]), bool(found["tie"])))
    if triplet or factor != 1:
        raise NotATune("the tune ends inside a triplet or a dotted pair")
    if measures[-1].notes:
        raise NotATune("the tune does not end with a barline")
    measures.pop()
    return measures
