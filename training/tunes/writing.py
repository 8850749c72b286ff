"""Write a tune's body in the one form the model is taught.

No spaces; four measures a line, a strain beginning a new one; `|:` and `:|` always in pairs,
endings as `[1` and `[2`, `|]` or `:|` at the end. Every accidental that was written stays.
"""

from fractions import Fraction

from quire import headers
from training.tunes.checking import METERS
from training.tunes.notes import LETTERS, Measure, Note, Section, Tune

MEASURES_A_LINE = 4
SIGNS = {None: "", 2: "^^", 1: "^", 0: "=", -1: "_", -2: "__"}


def length_text(length: Fraction) -> str:
    """`1` is nothing, `1/2` is `/2`, the rest as a fraction."""
    top = "" if length.numerator == 1 else str(length.numerator)
    return top if length.denominator == 1 else f"{top}/{length.denominator}"


def note_text(note: Note) -> str:
    """One note or rest, its triplet mark in front."""
    mark = "(3" if note.triplet == 1 else ""
    if note.place is None:
        return f"{mark}z{length_text(note.length)}"
    octave, letter = divmod(note.place, 7)
    name = LETTERS[letter] + "," * -octave if octave < 1 else LETTERS[letter].lower() + "'" * (octave - 1)
    return f"{mark}{SIGNS[note.accidental]}{name}{length_text(note.length)}{'-' * note.tied}"


def measure_text(measure: Measure) -> str:
    """The notes of a measure without its bar lines."""
    return "".join(note_text(note) for note in measure.notes)


def section_text(section: Section, full: int, end: str) -> str:
    """One strain; `end` is the bar that ends it where it is not a repeat's."""
    text = "|:" if section.repeated else ""
    in_line = 0
    two_endings = any(measure.ending for measure in section.measures)
    for at, measure in enumerate(section.measures):
        last = at + 1 == len(section.measures)
        second_next = not last and section.measures[at + 1].ending == 2
        text += (f"[{measure.ending}" if measure.ending else "") + measure_text(measure)
        if last:
            text += ":|" if section.repeated and not two_endings else end
        else:
            text += ":|" if second_next else "|"
            in_line += measure.duration == full
            if in_line == MEASURES_A_LINE:
                text, in_line = text + "\n", 0
    return text


def body(tune: Tune) -> str:
    """The whole body, without a newline at its end."""
    full = METERS[tune.meter]
    last = len(tune.sections) - 1
    return "\n".join(
        section_text(section, full, "|]" if at == last else "|") for at, section in enumerate(tune.sections)
    )


def abc(style: str, meter: str, key: str, title: str, body: str) -> str:
    """A whole ABC tune: the fields that the header tells, and a body as it is."""
    return f"X:1\nT:{title}\nR:{style}\nM:{meter}\nL:{headers.UNIT_LENGTH}\nK:{key}\n{body}\n"
