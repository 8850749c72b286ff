"""The grammar of tunes: what it lets pass another reader finds right, and nothing leads to a dead end."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quire.music.grammar import Form, Grammar, Place
from quire.music.keys import parse
from quire.music.meters import METERS
from quire.spec import Music
from tests.unit.music.forms import FORMS, walk
from worker.creative.abc import document, wanted
from worker.creative.checking import faults


def form(meter: str = "6/8", key: str = "G major", bars: int = 4, *, accidentals: bool = False) -> Form:
    found = parse(key)
    assert found is not None
    return Form(METERS[meter], found, bars, accidentals)


def music(asked: Form) -> Music:
    return Music(
        style="jig",
        meter=str(asked.meter),
        key=str(asked.key),
        tempo=112,
        bars=asked.bars,
        accidentals=asked.accidentals,
        opening=None,
        instrument="fiddle",
        artifacts=["abc"],
    )


@settings(max_examples=60, deadline=None)
@given(FORMS, st.integers(0, 2**32).map(Random), st.integers(0, 400))
def test_every_walk_ends_in_time_with_a_tune_that_is_as_asked(asked: Form, random: Random, room: int) -> None:
    grammar = Grammar(asked)

    body = walk(grammar, random, grammar.least + room)

    assert faults(document(music(asked), "A Tune", body), wanted(music(asked))) == []


@settings(max_examples=60, deadline=None)
@given(FORMS, st.integers(0, 80), st.integers(0, 2**32).map(Random))
def test_from_wherever_one_is_the_end_is_as_near_as_told(asked: Form, steps: int, random: Random) -> None:
    grammar = Grammar(asked)
    state = grammar.start
    for _ in range(steps):
        allowed = [after for char in "CdEg,'z234/(|:[]12 \n" if (after := grammar.step(state, char))]
        if not allowed:
            break
        state = random.choice(allowed)

    left = grammar.bound(state)
    while state.at is not Place.END:
        nearer = [after for char in "C2346/8:|[]12 " if (after := grammar.step(state, char))]
        state = min(nearer, key=grammar.bound)
        assert grammar.bound(state) <= left - 1
        left = grammar.bound(state)


@pytest.mark.parametrize(
    "body",
    [
        "GAB c3|d6|e6|f6|]",
        "|:GAB c3|d6|e6|f6:|",
        "GAB c3|d6|e6|f6:|",
        "D|GAB c3|d6|e6|f4f:|",
        "D|GAB c3|d6|e6|[1f4f:|[2g4g|]",
        "|:D|GABc3|d6|e6|\n[1f4f:|\n[2g4g|]",
        "G>AB c3|(3ABc d4|G/A/B/c/ d4|g3/2e/ f4|]",
        "G2z c3|d6|\ne6|f6|]",
    ],
)
def test_tunes_as_people_write_them_are_read(body: str) -> None:
    state = Grammar(form(), loose=True).read(body)

    assert state is not None
    assert state.at is Place.END


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("GAB c4", "a bar that is too long"),
        ("GAB c2|d6|", "a bar that is too short"),
        ("GAB d|", "a pickup of more than half a bar"),
        ("GAB c3|d6|e6:|", "a repeat within a phrase"),
        ("|:GAB c3|d6|e6|f6|]", "a repeat that is not closed"),
        ("|:GAB c3|:", "a repeat in a repeat"),
        ("D|GAB c3|d6|e6|f6|", "an end that forgets the pickup"),
        ("GAB c3|d6|e6|f6|g", "a bar too many"),
        ("GAB c3|d6|]", "an end too soon"),
        ("GAB c3|d6|e6|[1f6|", "a first ending without a second"),
        ("^GAB", "an accidental where none is asked for"),
        ("GAB c3|\n\n", "an empty line, which ends a tune"),
        ("z4", "a long rest"),
        ("(3A2Bc", "a triplet of unequal notes"),
        ("A>B2", "a dotted pair of unequal notes"),
        ("H", "a letter that is no note"),
    ],
)
def test_what_is_wrong_is_not_read(body: str, why: str) -> None:
    assert Grammar(form(), loose=True).read(body) is None, why


def test_a_line_never_begins_with_what_looks_like_a_field() -> None:
    # In 3/8 with a pickup of a quarter, one eighth fills the last bar: "c:|" would be a field.
    grammar = Grammar(form("3/8"))

    assert grammar.read("d|e3|f3|g3|\nc:") is None
    assert grammar.read("d|e3|f3|g3|\nc2:|") is not None


@pytest.mark.parametrize(
    ("key", "allowed", "forbidden"), [("E minor", "^d", "^f"), ("D major", "^g", "^a"), ("A dorian", "^g", "^d")]
)
def test_accidentals_that_suit_the_key_are_allowed_if_asked_for(key: str, allowed: str, forbidden: str) -> None:
    grammar = Grammar(form(key=key, accidentals=True))

    assert grammar.read(allowed) is not None
    assert grammar.read(forbidden) is None


@pytest.mark.parametrize("body", ["G6-|", "A>B", "A B"])
def test_what_no_tune_needs_is_read_and_not_written(body: str) -> None:
    assert Grammar(form(), loose=True).read(body) is not None
    assert Grammar(form()).read(body) is None


def test_a_section_without_signs_ends_where_its_pickup_fits() -> None:
    body = "D|GABc3|d6|e6|f4f|\nd|GABc3|d6|e6|f4f|]"

    state = Grammar(form(bars=8)).read(body)

    assert state is not None
    assert state.at is Place.END
    assert faults(document(music(form(bars=8)), None, body), wanted(music(form(bars=8)))) == []
