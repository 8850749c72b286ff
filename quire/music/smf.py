"""Reads the melody of a Standard MIDI File, and writes it in ABC.

Files come from anybody, so this is plain Python that reads only what it needs. Of several notes at once the
highest is taken; what is not on the grid of sixteenths is moved there.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from quire.music.grammar import Form
from quire.music.keys import ALTERATIONS
from quire.music.lengths import TICKS

GRID = 6  # ticks: a sixteenth
QUARTER = 24
DRUMS = 9  # the channel
MOST_NOTES = 2_000
DATA_BYTES = {0x8: 2, 0x9: 2, 0xA: 2, 0xB: 2, 0xC: 1, 0xD: 1, 0xE: 2}
NATURAL = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
LOWEST, HIGHEST = 48, 95  # C, and b'


class BadMidi(ValueError):
    """Something cannot be read as a melody; the message says what."""


@dataclass(frozen=True)
class Note:
    """A note of a melody, in ticks of 1/96 of a whole note."""

    start: int
    end: int
    pitch: int


def melody(data: bytes) -> list[Note]:
    """Read the notes of the first track that has some, one at a time.

    Raises:
        BadMidi: it is no MIDI file, or holds no melody.

    """
    if data[:4] != b"MThd" or len(data) < 14:
        raise BadMidi("Is no Standard MIDI File")
    division = int.from_bytes(data[12:14], "big")
    if not 0 < division < 0x8000:
        raise BadMidi("Counts time in frames, not in beats")
    for track in _tracks(data):
        notes = _quantised(_notes(track), division)
        if len(notes) > MOST_NOTES:
            raise BadMidi(f"Has more than {MOST_NOTES} notes")
        if notes:
            return notes
    raise BadMidi("Has no notes")


def to_abc(notes: list[Note], form: Form) -> str:
    """Write a melody in ABC, with barlines where the form has them. Whether its notes fit is not looked at here.

    Raises:
        BadMidi: it is longer than the form, or a note is too low or too high.

    """
    bar = form.meter.bar
    lead = notes[0].start % bar
    # What begins in the second half of a bar is a pickup; earlier, it is a bar that begins with a rest.
    start = notes[0].start - (0 if lead * 2 >= bar else lead)
    pickup = bar - lead if lead * 2 >= bar else 0
    # Before anything is written: a file of forty bytes may hold a rest of a million bars. One more for a pickup.
    if notes[-1].end - start > (form.bars + 1) * bar:
        raise BadMidi(f"Is longer than {form.bars} bars of {form.meter}")
    written: list[str] = []
    at = 0
    for note in notes:
        if note.start - start > at:
            written += _spread(None, at, note.start - start, bar, pickup)
            at = note.start - start
        written += _spread(_spelled(note.pitch, form), at, note.end - start, bar, pickup)
        at = note.end - start
    return " ".join(written)


def _tracks(data: bytes) -> Iterator[bytes]:
    at = 8 + int.from_bytes(data[4:8], "big")
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "big")
        if data[at : at + 4] == b"MTrk":
            yield data[at + 8 : at + 8 + size]
        at += 8 + size


def _notes(track: bytes) -> list[Note]:
    """Read the notes of one track in the file's own ticks."""
    begun: dict[int, int] = {}
    notes: list[Note] = []
    try:
        for moment, status, first, second in _events(track):
            if status & 0xF == DRUMS:
                continue
            if status >> 4 in {0x8, 0x9} and first in begun:
                notes.append(Note(begun.pop(first), moment, first))
            if status >> 4 == 0x9 and second:
                begun[first] = moment
    except IndexError:
        raise BadMidi("Ends in the middle of a track") from None
    return notes


def _events(track: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yield the moment, status and data of each event of a channel."""
    at, moment, status = 0, 0, 0
    while at < len(track):
        delta, at = _number(track, at)
        moment += delta
        if track[at] & 0x80:
            status = track[at]
            at += 1
        if status in {0xF0, 0xF7, 0xFF}:  # their data are of no interest
            size, at = _number(track, at + (status == 0xFF))
            at += size
            continue
        count = DATA_BYTES.get(status >> 4)
        if count is None:
            raise BadMidi("Holds an event without a status")
        yield moment, status, track[at], track[at + 1] if count == 2 else 0
        at += count


def _number(track: bytes, at: int) -> tuple[int, int]:
    """Read a number of variable length; returns it and what comes after."""
    value = 0
    for _ in range(4):
        byte = track[at]
        at += 1
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at
    raise BadMidi("Holds a number that is too long")


def _quantised(notes: list[Note], division: int) -> list[Note]:
    """Move notes to the grid, let the highest of several win, and cut each where the next begins."""

    def tick(moment: int) -> int:
        return round(moment * QUARTER / division / GRID) * GRID

    highest: dict[int, Note] = {}
    for note in notes:
        start, end = tick(note.start), tick(note.end)
        moved = Note(start, max(end, start + GRID), note.pitch)
        if start not in highest or highest[start].pitch < note.pitch:
            highest[start] = moved
    line = [highest[start] for start in sorted(highest)]
    ends = [note.start for note in line[1:]] + [line[-1].end] if line else []
    return [Note(note.start, min(note.end, end), note.pitch) for note, end in zip(line, ends, strict=True)]


def _spelled(pitch: int, form: Form) -> str:
    """Return a pitch as ABC writes it in this key."""
    if not LOWEST <= pitch <= HIGHEST:
        raise BadMidi(f"Has a note of pitch {pitch}; from {LOWEST} to {HIGHEST} can be written")
    signature = form.key.signature
    own = [letter for letter in NATURAL if (pitch - NATURAL[letter] - signature[letter]) % 12 == 0]
    raised = [letter for letter in NATURAL if (pitch - NATURAL[letter] - signature[letter] - 1) % 12 == 0]
    letter = (own or raised)[0]
    alteration = signature[letter] + (0 if own else 1)
    accidental = "" if own else ALTERATIONS.get(alteration, "^^")
    octave = (pitch - NATURAL[letter] - alteration) // 12 - 5
    mark = {-1: ",", 2: "'"}.get(octave, "")
    return accidental + (letter.lower() if octave >= 1 else letter) + mark


def _spread(name: str | None, start: int, end: int, bar: int, pickup: int) -> Iterator[str]:
    """Write a note, or a rest, as the notes that its bars and the ways to write lengths make of it."""
    at = start
    while at < end:
        into = (at - pickup) % bar
        take = min(end - at, bar - into)
        longest = [ticks for ticks in TICKS.values() if ticks <= take and (name or ticks <= QUARTER)]
        ticks = max(longest)
        length = min((text for text, each in TICKS.items() if each == ticks), key=len)
        at += ticks
        tie = "-" if name and at < end else ""
        yield f"{name or 'z'}{length}{tie}"
        if into + ticks == bar:
            yield "|"
