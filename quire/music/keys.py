"""Keys with their modes, and the pitches that belong to each."""

import re
from dataclasses import dataclass
from functools import cached_property

LETTERS = "CDEFGAB"
SHARPS = "FCGDAEB"  # in the order of key signatures; flats come in the reverse
MOST = len(SHARPS)

# Steps on the circle of fifths from the major key of the same tonic.
MODES = {"major": 0, "minor": -3, "dorian": -2, "mixolydian": -1, "phrygian": -4, "lydian": 1, "locrian": -5}
SHORT = {"": "major", "maj": "major", "ion": "major", "ionian": "major", "m": "minor", "min": "minor",
         "aeo": "minor", "aeolian": "minor"}  # fmt: skip
FIFTHS = {letter: index - 1 for index, letter in enumerate("FCGDAEB")}  # of the major key on each letter

KEY = re.compile(r"([A-Ga-g])\s*(#|b|♯|♭|sharp\b|flat\b)?\s*([A-Za-z]*)")
ALTERATIONS = {-1: "_", 0: "=", 1: "^"}  # as ABC writes them before a note


@dataclass(frozen=True)
class Key:
    """A tonic and a mode, written as `G major`, `Bb dorian`, `F# minor`."""

    tonic: str
    mode: str

    def __str__(self) -> str:
        return f"{self.tonic} {self.mode}"

    @property
    def fifths(self) -> int:
        """Sharps of the signature; below 0, flats."""
        sharpened = 7 * (self.tonic.count("#") - self.tonic.count("b"))
        return FIFTHS[self.tonic[0]] + sharpened + MODES[self.mode]

    @cached_property
    def signature(self) -> dict[str, int]:
        """For each letter, 1 if it is sharp, -1 if flat, else 0."""
        altered = SHARPS[: self.fifths] if self.fifths >= 0 else SHARPS[self.fifths :]
        return {letter: (letter in altered) * (1 if self.fifths > 0 else -1) for letter in LETTERS}

    @cached_property
    def accidentals(self) -> dict[str, frozenset[str]]:
        """The accidentals that a tune may use where it is allowed any, by letter.

        The raised seventh where a mode has a low one, with it the raised sixth in minor and dorian; the raised
        fourth and the lowered seventh in major. And what takes each of them back.
        """
        degree = {letter: (LETTERS.index(letter) - LETTERS.index(self.tonic[0])) % 7 for letter in LETTERS}
        moves = {
            "major": {3: 1, 6: -1}, "lydian": {6: -1}, "mixolydian": {6: 1},
            "minor": {5: 1, 6: 1}, "dorian": {6: 1}, "phrygian": {6: 1}, "locrian": {},
        }[self.mode]  # fmt: skip
        allowed: dict[str, frozenset[str]] = {}
        for letter in LETTERS:
            own = self.signature[letter]
            moved = own + moves.get(degree[letter], 0)
            if moved != own and moved in ALTERATIONS:  # a double sharp is no note for this
                allowed[letter] = frozenset({ALTERATIONS[own], ALTERATIONS[moved]})
        return allowed


def parse(text: str) -> Key | None:
    """Read a key as people write it: `G`, `g major`, `Em`, `Ador`, `B♭ mixolydian`; None if it is none."""
    found = KEY.fullmatch(text.strip())
    if found is None:
        return None
    letter, accidental, written = found.groups()
    sign = {"♯": "#", "sharp": "#", "♭": "b", "flat": "b"}.get(accidental or "", accidental or "")
    mode = {"m": "minor", "M": "major"}.get(written) or SHORT.get(written.lower(), written.lower())
    mode = next((name for name in MODES if len(mode) >= 3 and name.startswith(mode)), mode)
    if mode not in MODES:
        return None
    key = Key(letter.upper() + sign, mode)
    return key if abs(key.fifths) <= MOST else None
