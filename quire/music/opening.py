"""Openings: a phrase of ABC that somebody wrote, brought into the way that tunes are written here."""

import re

from quire.music.bar import At
from quire.music.grammar import Form, Grammar, Place

FIELD = re.compile(r"^[A-Za-z]:.*\n?", re.MULTILINE)
COMMENT = re.compile(r"%.*")
# Chord symbols, decorations, grace notes, beams across blanks: what a melody is without.
ORNAMENTS = re.compile(r'"[^"\n]*"|![^!\n]*!|\{[^}\n]*\}|[~.HLMOPSTuv`](?=[\^_=A-Ga-gz(])|\\$', re.MULTILINE)
SLURS = re.compile(r"\((?!3)|\)")
SPELLINGS = (
    (re.compile(r"\|\s*\[?1(?=\D)"), "|[1"), (re.compile(r":\|\s*\[?2(?=\D)"), ":|[2"),
    (re.compile(r"::|:\|\|:"), ":|\n|:"),
    (re.compile(r"\|\||\[\|(?!\])"), "|"), (re.compile(r"//"), "/4"), (re.compile(r"[ \t]+"), " "),
    (re.compile(r" ?\n\s*"), "\n"),
)  # fmt: skip
SHOWN = 12  # characters of an opening that a complaint repeats


class BadOpening(ValueError):
    """An opening does not fit the tune; the message says where."""


def tidy(abc: str) -> str:
    """Return the body of some ABC without header, comments and ornaments, and with one spelling of each sign."""
    text = COMMENT.sub("", FIELD.sub("", abc.strip() + "\n"))
    text = SLURS.sub("", ORNAMENTS.sub("", text))
    for spelling, ours in SPELLINGS:
        text = spelling.sub(ours, text)
    return text.strip()


def opening(abc: str, form: Form) -> str:
    """Bring an opening into shape, and check that a tune of this form can begin with it.

    Raises:
        BadOpening: it holds nothing, is a whole tune, or does not fit the meter, the key or the number of bars.

    """
    body = tidy(abc)
    if not body:
        raise BadOpening("Holds no notes")
    grammar = Grammar(form, loose=True)
    state = grammar.start
    for index, char in enumerate(body):
        after = grammar.step(state, char)
        if after is None:
            bar = form.bars - state.left + 1
            around = body[max(0, index - SHOWN) : index + 1].replace("\n", " ")
            asked = f"{form.bars} bars of {form.meter} in {form.key}"
            raise BadOpening(f"Does not fit {asked}: see bar {bar}, at the end of '{around}'")
        state = after
    if state.at is Place.END or state.left < 1:
        raise BadOpening("Is a whole tune: there is nothing to continue")
    if state.inside.at is At.TIE:
        raise BadOpening("Ends with a tie: leave out the last -")
    return body
