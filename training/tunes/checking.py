"""Do the bars of a tune add up to its meter?

In every strain the inner measures are full. The first may be shorter, a pickup, and then
the last one and that of a first ending are as much too short.
"""

from dataclasses import replace
from fractions import Fraction

from training.tunes.notes import Measure, Note, Section, with_length

METERS = {
    "2/2": 8,
    "2/4": 4,
    "3/2": 12,
    "3/4": 6,
    "3/8": 3,
    "4/4": 8,
    "6/4": 12,
    "6/8": 6,
    "9/8": 9,
    "12/8": 12,
}
"""Length of a full measure of each meter, in eighths."""


def closing(section: Section) -> list[int]:
    """Places of the measures that end the strain: the last one, and that before a second ending."""
    last = len(section.measures) - 1
    seconds = [i - 1 for i, measure in enumerate(section.measures) if measure.ending == 2]
    return [*seconds, last]


def pickup(section: Section, full: int) -> Fraction:
    """Length of the strain's pickup, in eighths; 0 where it begins with a full measure."""
    first = section.measures[0].duration
    return first if first < full and len(section.measures) > 1 else Fraction(0)


def fits(section: Section, meter: str) -> bool:
    """Whether the strain's measures add up as the module says."""
    full = METERS[meter]
    short = pickup(section, full)
    ends = closing(section)
    for at, measure in enumerate(section.measures):
        wanted = full - short if at in ends else Fraction(full)
        if at == 0 and short:
            wanted = short
        if measure.duration != wanted:
            return False
    return True


def stretched(measure: Measure, wanted: Fraction) -> Measure:
    """Give a closing measure the wanted duration by its last notes; as it was if that cannot be.

    Rests at the end go first; then the last note is made longer or shorter, if it keeps half its length.
    """
    notes = list(measure.notes)
    while len(notes) > 1 and notes[-1].place is None and sum(n.duration for n in notes[:-1]) >= wanted:
        notes.pop()
    last = notes[-1]
    length = last.length + wanted - sum((n.duration for n in notes), Fraction(0))
    if last.triplet or not last.length / 2 <= length <= last.length * 3:
        return measure
    notes[-1] = with_length(last, length)
    return replace(measure, notes=tuple(notes))


def rounded(section: Section, meter: str) -> Section:
    """Let the closing measures complement the pickup, as sloppy transcriptions forget to."""
    full = METERS[meter]
    wanted = full - pickup(section, full)
    places = closing(section)
    return replace(
        section,
        measures=tuple(
            stretched(measure, wanted) if at in places and at and measure.duration != wanted else measure
            for at, measure in enumerate(section.measures)
        ),
    )


def singable(notes: list[Note]) -> bool:
    """Whether all lengths are halves or quarters of an eighth, or multiples, and triplets are whole."""
    return all(note.length > 0 and note.length.denominator in {1, 2, 4} for note in notes)
