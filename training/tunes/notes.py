"""The values a tune is made of: notes, measures, sections, keys."""

import re
from dataclasses import dataclass, replace
from fractions import Fraction

LETTERS = "CDEFGAB"
SEMITONES = (0, 2, 4, 5, 7, 9, 11)
SHARPS = {"major": 0, "minor": -3, "dorian": -2, "mixolydian": -1, "lydian": 1, "phrygian": -4}
"""Fifths that each mode's signature lies from that of major on the same tonic."""
FIFTHS = {letter: place - 1 for place, letter in enumerate("FCGDAEB")}
ORDER_OF_SHARPS = "FCGDAEB"
MODES = {
    "": "major",
    "maj": "major",
    "ion": "major",
    "m": "minor",
    "min": "minor",
    "aeo": "minor",
    "dor": "dorian",
    "mix": "mixolydian",
    "lyd": "lydian",
    "phr": "phrygian",
}
KEY = re.compile(r"([A-G])([#b]?)\s*([A-Za-z]*)")


@dataclass(frozen=True)
class Key:
    """A tonic, its letter 0 (C) to 6 (B), with an alteration of -1 to 1, and a mode."""

    letter: int
    alteration: int
    mode: str

    @property
    def sharps(self) -> int:
        """Sharps of the signature; flats are negative."""
        return FIFTHS[LETTERS[self.letter]] + 7 * self.alteration + SHARPS[self.mode]

    @property
    def name(self) -> str:
        """As the header spells it: ``G major``, ``Bb major``, ``F# minor``."""
        return f"{LETTERS[self.letter]}{('', '#', 'b')[self.alteration]} {self.mode}"

    def alteration_of(self, letter: int) -> int:
        """What the signature does to a letter: -1, 0 or 1."""
        if self.sharps >= 0:
            return int(LETTERS[letter] in ORDER_OF_SHARPS[: self.sharps])
        return -int(LETTERS[letter] in ORDER_OF_SHARPS[self.sharps :])


def read_key(text: str) -> Key | None:
    """Read what stands after ``K:``; `None` for anything but a tonic and a mode."""
    found = KEY.fullmatch(text.strip())
    if not found:
        return None
    letter, sign, mode = found.groups()
    known = MODES.get(mode if mode in {"", "m"} else mode.lower()[:3])
    return Key(LETTERS.index(letter), {"": 0, "#": 1, "b": -1}[sign], known) if known else None


@dataclass(frozen=True)
class Note:
    """One note, or a rest where `place` is `None`.

    `place` counts letters upwards from middle C; `length` is as written, in eighths;
    `triplet` is 1, 2 or 3 for the notes of a triplet, which last two thirds of it.
    """

    place: int | None
    accidental: int | None
    length: Fraction
    tied: bool = False
    triplet: int = 0

    @property
    def duration(self) -> Fraction:
        """How long it sounds, in eighths."""
        return self.length * Fraction(2, 3) if self.triplet else self.length


@dataclass(frozen=True)
class Measure:
    """The notes between two bar lines; `ending` is 1 or 2 where one begins, else 0."""

    notes: tuple[Note, ...]
    ending: int = 0

    @property
    def duration(self) -> Fraction:
        """Sum of its notes, in eighths."""
        return sum((note.duration for note in self.notes), Fraction(0))


@dataclass(frozen=True)
class Section:
    """A strain of a tune, played twice where `repeated`.

    With two endings the first one closes the repeat and the second ends the section.
    """

    measures: tuple[Measure, ...]
    repeated: bool


@dataclass(frozen=True)
class Tune:
    """A whole tune with what its header tells."""

    title: str
    style: str
    meter: str
    key: Key
    sections: tuple[Section, ...]

    def notes(self) -> list[Note]:
        """All notes and rests, in the order written."""
        return [n for section in self.sections for measure in section.measures for n in measure.notes]


def semitone(note: Note, key: Key, altered: dict[int, int]) -> int:
    """MIDI number of a sounding note; `altered` holds the accidentals of its measure so far, by place."""
    assert note.place is not None
    if note.accidental is not None:
        altered[note.place] = note.accidental
    alteration = altered.get(note.place, key.alteration_of(note.place % 7))
    return 60 + SEMITONES[note.place % 7] + 12 * (note.place // 7) + alteration


def pitches(tune: Tune) -> list[int]:
    """MIDI numbers of all sounding notes, in the order written."""
    found = []
    for section in tune.sections:
        for measure in section.measures:
            altered: dict[int, int] = {}
            found += [semitone(note, tune.key, altered) for note in measure.notes if note.place is not None]
    return found


def with_length(note: Note, length: Fraction) -> Note:
    """The same note with another written length, in eighths."""
    return replace(note, length=length)
