"""Read the body of an ABC tune into measures; ornaments, words and chord names are dropped.

`UnreadableError` says why a tune is not used: what cannot be kept exactly is refused, not guessed.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

from training.tunes.notes import LETTERS, Measure, Note, Section

QUOTED_PRINTABLE = re.compile(r"=(20)?$")
FIELD = re.compile(r"[A-Za-z]:")
ORNAMENTS = re.compile(r'"[^"]*"|\{[^}]*\}|![^!\n]*!|\+[a-z]+\+|\[[PNQIRr]:[^\]]*\]|[H-Wh-wy`~.$*!\\]')
TOKEN = re.compile(
    r"""
    (?P<bar>(?:\[\||\||:)(?:[\s|:\]]*[|:\]])?(?:\s*\[?(?P<after>\d[\d,.-]*))?)
    | \[(?P<ending>\d[\d,.-]*)
    | \((?P<tuplet>\d)(?P<detail>:\d*(?::\d*)?)?
    | \[(?P<chord>[^\]\[|:]+)\](?P<chord_length>\d*(?:/+\d*)?)(?P<chord_tie>-?)
    | (?P<broken>>+|<+)
    | (?P<note>(?P<sign>\^\^|\^|__|_|=)?(?P<letter>[A-Ga-gzx])(?P<octave>[,']*)
        (?P<length>\d*(?:/+\d*)?)\s*(?P<tie>-?))
    | (?P<slur>[()-])
    | (?P<space>\s+)
    """,
    re.VERBOSE,
)
LENGTH = re.compile(r"(\d*)(/*)(\d*)")
SIGNS = {"^^": 2, "^": 1, "=": 0, "_": -1, "__": -2}


class UnreadableError(Exception):
    """The tune holds something that is not kept: the message names it."""


@dataclass(frozen=True)
class Bar:
    """A bar line: whether it closes a repeat, opens one, or divides strains, and the ending after it.

    `drawn` is false for the bracket of an ending that stands without a line.
    """

    drawn: bool = True
    closes: bool = False
    opens: bool = False
    divides: bool = False
    ending: int = 0


def music(lines: list[str]) -> str:
    """Join the lines of music, without fields, comments, words, chord names and ornaments.

    Some files came by mail and still have its marks.
    """
    kept = [QUOTED_PRINTABLE.sub("", line.split("%")[0]) for line in lines if not FIELD.match(line)]
    return ORNAMENTS.sub("", "\n".join(kept).replace("=3D", "="))


def ending_number(text: str | None) -> int:
    """1 or 2; 0 where there is no ending; `UnreadableError` for `1,3` and the like."""
    if not text:
        return 0
    if text.rstrip(".") not in {"1", "2"}:
        raise UnreadableError("other endings")
    return int(text[0])


def bar_of(text: str, after: str | None) -> Bar:
    """Read a run of bar signs."""
    signs = re.sub(r"\s+|\[?\d.*", "", text).replace("[", "|")
    double = signs.count(":") > 1 and "|" not in signs
    return Bar(
        closes=signs.startswith(":"),
        opens=double or (signs.endswith(":") and "|" in signs),
        divides=bool(re.search(r"\|\||\]|\[\|", text)),
        ending=ending_number(after),
    )


def length_of(text: str) -> Fraction:
    """A written length such as `3/2`, `/`, `//` or nothing."""
    found = LENGTH.fullmatch(text)
    if not found:
        raise UnreadableError("length")
    top, slashes, bottom = found.groups()
    divisor = int(bottom) if bottom else 2 ** len(slashes)
    if divisor == 0 or top == "0":
        raise UnreadableError("length")
    return Fraction(int(top or 1), divisor)


def note_of(found: re.Match[str], unit: Fraction) -> Note:
    """Read one note or rest; `unit` is the written unit in eighths."""
    letter, octave = found["letter"], found["octave"]
    length = length_of(found["length"]) * unit
    if letter in "zx":
        return Note(None, None, length)
    place = LETTERS.index(letter.upper()) + 7 * letter.islower() + 7 * (octave.count("'") - octave.count(","))
    return Note(place, SIGNS.get(found["sign"] or ""), length, bool(found["tie"]))


def chord_note(found: re.Match[str], unit: Fraction) -> Note:
    """The highest note of a chord."""
    notes = [note_of(m, unit) for m in TOKEN.finditer(found["chord"]) if m["note"]]
    sounding = [note for note in notes if note.place is not None]
    if not sounding:
        raise UnreadableError("chord")
    top = max(sounding, key=lambda note: note.place or 0)
    return replace(
        top, length=top.length * length_of(found["chord_length"]), tied=bool(found["chord_tie"]) or top.tied
    )


def tokens(text: str) -> Iterator[re.Match[str]]:
    """Every sign of the music in turn; `UnreadableError` names one that is not known."""
    at = 0
    while at < len(text):
        found = TOKEN.match(text, at)
        if not found or not found.group():
            raise UnreadableError(f"sign {text[at]!r}")
        yield found
        at = found.end()


def broken(first: Note, second: Note, signs: str) -> tuple[Note, Note]:
    """Lengthen one of two notes and shorten the other, as `>` and `<` ask."""
    short = Fraction(1, 2 ** len(signs))
    dotted = 2 - short
    one, two = (dotted, short) if signs[0] == ">" else (short, dotted)
    return replace(first, length=first.length * one), replace(second, length=second.length * two)


def after_broken(found: list[Note | Bar], note: Note, signs: str) -> Note:
    """Change the last note found as the signs ask, and return the one after it."""
    before = found[-1] if found else None
    if not isinstance(before, Note):
        raise UnreadableError("broken rhythm")
    found[-1], note = broken(before, note, signs)
    return note


def first_of_triplet(token: re.Match[str]) -> int:
    """1, the place of the next note in its triplet; other tuplets are refused."""
    if token["tuplet"] != "3" or (token["detail"] or ":").strip(":") not in {"", "2", "2:3", "3", ":3"}:
        raise UnreadableError("tuplet")
    return 1


def events(text: str, unit: Fraction) -> list[Note | Bar]:
    """All notes and bar lines in order, lengths in eighths, broken rhythms written out."""
    found: list[Note | Bar] = []
    triplet, waiting = 0, ""
    for token in tokens(text):
        if token["bar"]:
            found.append(bar_of(token["bar"], token["after"]))
        elif token["ending"]:
            found.append(Bar(drawn=False, ending=ending_number(token["ending"])))
        elif token["tuplet"]:
            triplet = first_of_triplet(token)
        elif token["broken"]:
            waiting = token["broken"]
        elif token["note"] or token["chord"]:
            note = note_of(token, unit) if token["note"] else chord_note(token, unit)
            if triplet:
                note = replace(note, triplet=triplet)
                triplet = triplet + 1 if triplet < 3 else 0
            if waiting:
                note = after_broken(found, note, waiting)
                waiting = ""
            found.append(note)
    if triplet or waiting:
        raise UnreadableError("unfinished group")
    return tied(found)


def tied(found: list[Note | Bar]) -> list[Note | Bar]:
    """Keep ties between two notes of one pitch only: others were meant as slurs."""
    notes = [event for event in found if isinstance(event, Note)]
    following = iter([*(note.place for note in notes[1:]), None])
    return [
        replace(event, tied=event.place == next(following) and event.place is not None and event.tied)
        if isinstance(event, Note)
        else event
        for event in found
    ]


def measures(found: list[Note | Bar]) -> list[tuple[Measure, Bar]]:
    """Each measure with the bar line after it; bar lines with nothing between them become one."""
    result: list[tuple[Measure, Bar]] = []
    notes: list[Note] = []
    ending = 0
    for event in [*found, Bar()]:
        if isinstance(event, Note):
            notes.append(event)
            continue
        if notes:
            if not event.drawn:
                raise UnreadableError("ending inside a bar")
            result.append((Measure(tuple(notes), ending), event))
            notes, ending = [], 0
        elif result:
            last, bar = result[-1]
            joined = replace(
                bar,
                closes=bar.closes or event.closes,
                opens=bar.opens or event.opens,
                divides=bar.divides or event.divides,
            )
            result[-1] = (last, joined)
        elif event.closes:
            raise UnreadableError("repeat of nothing")
        ending = event.ending or ending
    return result


def sections(found: list[tuple[Measure, Bar]]) -> tuple[Section, ...]:
    """Cut a tune into its strains at repeats and double bars.

    A repeat that closes goes back to the last such place, whether it was opened there or not;
    one that is opened and never closed is none.
    """
    result: list[Section] = []
    strain: list[Measure] = []
    first_ending = 0  # measures of the first ending, once it is closed
    second_left = 0  # measures still to come of the second ending
    for at, (measure, bar) in enumerate(found):
        if measure.ending == 2 and not first_ending:
            raise UnreadableError("second ending alone")
        strain.append(measure)
        following = found[at + 1][0].ending if at + 1 < len(found) else 0
        if bar.closes and following == 2:
            starts = [i for i, m in enumerate(strain) if m.ending == 1]
            if len(starts) != 1:
                raise UnreadableError("endings")
            first_ending = second_left = len(strain) - starts[0]
            continue
        if first_ending:
            second_left -= 1
        ends_second = bool(first_ending) and (second_left == 0 or bar.divides or bar.opens)
        if bar.closes or bar.opens or bar.divides or ends_second or at + 1 == len(found):
            if any(m.ending for m in strain) and not first_ending:
                raise UnreadableError("endings")
            result.append(Section(tuple(strain), repeated=bar.closes or bool(first_ending)))
            strain, first_ending, second_left = [], 0, 0
    return tuple(result)
