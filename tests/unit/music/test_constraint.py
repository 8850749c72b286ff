"""The grammar over the tokens of a vocabulary: what is allowed leads to a tune, resumed or not, in time."""

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quire.music.grammar import Form, Grammar
from quire.music.keys import Key
from quire.music.meters import METERS
from tests.unit.music.forms import FORMS
from tests.unit.music.test_grammar import music
from worker.creative.abc import document, wanted
from worker.creative.checking import faults
from worker.creative.tunes import CHARACTERS, TuneConstraint, Vocabulary

END = 0
PIECES = [
    *CHARACTERS,
    "|:",
    ":|",
    "|]",
    ":|\n",
    "|\n",
    "GA",
    "c2",
    "c>B",
    "(3",
    "(3abc",
    "A2|",
    "d/e/",
    "|1",
    "é",
    "\ufffd",
]
VOCABULARY = Vocabulary(["", *PIECES], size=128, end_ids=[END])


def drawn(constraint: TuneConstraint, random: Random) -> list[int]:
    """Draw tokens from all that is allowed until the end."""
    tokens: list[int] = []
    while not tokens or tokens[-1] != END:
        allowed = np.flatnonzero(constraint.allowed())
        assert len(allowed), f"a dead end behind {text(tokens)!r}"
        tokens.append(int(random.choice(allowed)))
        constraint.accept(tokens[-1])
    return tokens


def text(tokens: list[int]) -> str:
    return "".join(VOCABULARY.texts[token] for token in tokens)


@settings(max_examples=60, deadline=None)
@given(FORMS, st.integers(0, 2**32).map(Random), st.integers(0, 200))
def test_whatever_is_drawn_is_a_tune_as_asked_and_in_time(form: Form, random: Random, room: int) -> None:
    most = Grammar(form).least + room

    tokens = drawn(TuneConstraint(VOCABULARY, form, opening="", most=most), random)

    assert len(tokens) <= most
    assert faults(document(music(form), "A Tune", text(tokens)), wanted(music(form))) == []


@settings(max_examples=30, deadline=None)
@given(FORMS, st.integers(0, 2**32).map(Random), st.data())
def test_a_resumed_tune_is_where_it_was(form: Form, random: Random, choices: st.DataObject) -> None:
    first = TuneConstraint(VOCABULARY, form, opening="", most=400)
    tokens = drawn(TuneConstraint(VOCABULARY, form, opening="", most=400), random)
    cut = choices.draw(st.integers(0, len(tokens) - 1))

    resumed = TuneConstraint(VOCABULARY, form, opening="", most=400)
    for token in tokens[:cut]:
        first.allowed()
        first.accept(token)
        resumed.accept(token)

    assert (first.allowed() == resumed.allowed()).all()


def test_an_opening_is_gone_on_from() -> None:
    form = Form(METERS["6/8"], Key("G", "major"), 4)

    rest = text(drawn(TuneConstraint(VOCABULARY, form, opening="D|GAB c3|d6-|d3", most=200), Random(1)))

    assert faults(document(music(form), "A Tune", "D|GAB c3|d6-|d3" + rest), wanted(music(form))) == []


def test_a_token_that_was_not_allowed_is_refused() -> None:
    constraint = TuneConstraint(VOCABULARY, Form(METERS["6/8"], Key("G", "major"), 4), opening="", most=200)

    with pytest.raises(ValueError, match="does not go on"):
        constraint.accept(VOCABULARY.texts.index(":|"))


def test_a_vocabulary_that_cannot_write_tunes_is_refused() -> None:
    with pytest.raises(ValueError, match="no token for 'z'"):
        Vocabulary(["", *CHARACTERS.replace("z", "")], size=128, end_ids=[END])


def test_special_tokens_are_never_allowed_before_the_end() -> None:
    constraint = TuneConstraint(VOCABULARY, Form(METERS["6/8"], Key("G", "major"), 4), opening="", most=200)

    assert not constraint.allowed()[END]
    assert not constraint.allowed()[len(PIECES) + 1 :].any()
