"""Move a tune to other keys, spelled as the new key asks."""

from dataclasses import replace

from training.tunes.notes import SEMITONES, Key, Measure, Note, Tune, pitches

MOST_SHARPS = 4
LOWEST, HIGHEST = 55, 88
"""MIDI range of a fiddle in first position and a little above: G below middle C to the third E."""


def tonics(mode: str) -> list[Key]:
    """All keys of a mode that have at most `MOST_SHARPS` sharps or flats."""
    keys = [Key(letter, alteration, mode) for letter in range(7) for alteration in (-1, 0, 1)]
    return [key for key in keys if abs(key.sharps) <= MOST_SHARPS]


def moved_note(note: Note, steps: int, old: Key, new: Key) -> Note | None:
    """Move a note by letters; its accidental keeps its distance from the signature. `None`: not spellable."""
    if note.place is None:
        return note
    place = note.place + steps
    if note.accidental is None:
        return replace(note, place=place)
    accidental = note.accidental - old.alteration_of(note.place % 7) + new.alteration_of(place % 7)
    return replace(note, place=place, accidental=accidental) if abs(accidental) <= 1 else None


def moved(tune: Tune, key: Key, octave: int) -> Tune | None:
    """The tune in another key of the same mode, `octave` octaves further up; `None` if it cannot be spelled."""
    steps = key.letter - tune.key.letter + 7 * octave
    sections = []
    for section in tune.sections:
        measures = []
        for measure in section.measures:
            notes = [moved_note(note, steps, tune.key, key) for note in measure.notes]
            if None in notes:
                return None
            measures.append(Measure(tuple(n for n in notes if n is not None), measure.ending))
        sections.append(replace(section, measures=tuple(measures)))
    return replace(tune, key=key, sections=tuple(sections))


def distance(old: Key, new: Key) -> int:
    """Semitones from one tonic up to the other, within one octave of letters."""
    return SEMITONES[new.letter] + new.alteration - SEMITONES[old.letter] - old.alteration


def transpositions(tune: Tune, count: int) -> list[Tune]:
    """The tune and up to `count - 1` others, nearest first, that stay in the range of a fiddle."""
    sounding = pitches(tune)
    candidates = []
    for key in tonics(tune.key.mode):
        for octave in (-1, 0, 1):
            shift = distance(tune.key, key) + 12 * octave
            if min(sounding) + shift >= LOWEST and max(sounding) + shift <= HIGHEST:
                candidates.append((abs(shift), shift, key, octave))
    result, seen = [tune], {tune.key}
    for _, _, key, octave in sorted(candidates, key=lambda c: (c[0], c[1], c[2].name)):
        if key in seen or len(result) == count:
            continue
        other = moved(tune, key, octave)
        if other:
            seen.add(key)
            result.append(other)
    return result
