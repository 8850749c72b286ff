"""Whatever is drawn of what English verse allows, the form is met within its tokens."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.forms.checker import check_english
from quire.errors import FormUnfit
from quire.forms import tokens_needed, tokens_usual
from tests.unit.constrained.vocabularies import (
    END,
    by_chance,
    english,
    made,
    rules_for,
    text_of,
    vocabulary_of,
    walk,
)
from worker.creative.constrained.forced import Broken
from worker.creative.constrained.making import Constraints
from worker.creative.constrained.vocabulary import Vocabulary

FORMS = [
    ({"lines": 4}, {}),
    ({"lines": 12, "stanza": 4}, {}),
    ({"lines": 4, "rhyme": "ABAB"}, {}),
    ({"lines": 8, "stanza": 4, "rhyme": "ABBA"}, {}),
    ({"lines": 6, "stanza": 2, "rhyme": "AA", "syllables": 6}, {"syllables": (6,)}),
    ({"lines": 4, "rhyme": "XAXA", "meter": "ballad meter", "syllables": 8}, {"syllables": (8, 6)}),
    (
        {"lines": 14, "rhyme": "ABABCDCDEFEFGG", "meter": "iambic pentameter", "syllables": 10},
        {"syllables": (10,)},
    ),
    ({"lines": 8, "rhyme": "AAAAAAAA", "meter": "iambic tetrameter"}, {}),
    ({"lines": 3, "syllables": 12}, {"syllables": (12,)}),
    ({"lines": 3, "syllables": 4, "rhyme": "AAA"}, {"syllables": (4,)}),
]


def checked(asked: dict[str, object], measured: dict[str, object], text: str) -> bool:
    lines = asked["lines"]
    return check_english(
        text, lines=lines, stanza=asked.get("stanza", lines), scheme=asked.get("rhyme", ""), **measured
    ).met


def state_after(text: str, **asked: object) -> "np.ndarray":
    """Write a text in single letters and return what may come."""
    constraint = made(english(), rules_for("verse", **asked), 500)
    by_bytes = english()._vocabulary.by_bytes
    rest = text.encode()
    while rest:
        length = 2 if rest[:1] == b" " else 1
        constraint.accept(by_bytes[rest[:length]])
        rest = rest[length:]
    return constraint.allowed()


def allows(mask: "np.ndarray", text: str) -> bool:
    return bool(mask[english()._vocabulary.by_bytes[text.encode()]])


@pytest.mark.parametrize(("asked", "measured"), FORMS, ids=str)
@pytest.mark.parametrize("tokens_for", [tokens_needed, tokens_usual])
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_every_path_that_is_allowed_meets_the_form(
    asked: dict[str, object], measured: dict[str, object], tokens_for: object, data: st.DataObject
) -> None:
    rules = rules_for("verse", **asked)
    most = tokens_for(rules)

    tokens = walk(
        made(english(), rules, most), lambda allowed: allowed[data.draw(st.integers(0, len(allowed) - 1))], most
    )

    text = text_of(english(), tokens)
    assert checked(asked, measured, text), text


@pytest.mark.parametrize(("asked", "measured"), FORMS, ids=str)
@pytest.mark.parametrize("seed", range(5))
def test_the_shortest_tokens_still_meet_the_form_in_the_fewest_tokens(
    asked: dict[str, object], measured: dict[str, object], seed: int
) -> None:
    rules, draw = rules_for("verse", **asked), by_chance(seed)
    tokens_of = english()._vocabulary.tokens

    def letters(allowed: list[int]) -> int:
        """Take single letters where it can be done: words get as dear as they can."""
        small = [token for token in allowed if tokens_of[token].strip().isalpha() and len(tokens_of[token]) < 3]
        return draw(small or allowed)

    tokens = walk(made(english(), rules), letters, tokens_needed(rules))

    assert checked(asked, measured, text_of(english(), tokens)), text_of(english(), tokens)


def test_a_line_of_verse_is_made_of_words() -> None:
    mask = state_after("The n", lines=2, rhyme="AA")

    assert allows(mask, "ight")
    for text in ("x", " the", ",", "\n", "42", "é", "I"):
        assert not allows(mask, text), text


def test_a_line_begins_with_a_capital_and_goes_on_without() -> None:
    begun = state_after("", lines=2, rhyme="AA")
    assert allows(begun, "The")
    assert not allows(begun, "t")
    assert not allows(begun, " the")
    inside = state_after("The", lines=2, rhyme="AA")
    assert allows(inside, " night")
    assert allows(inside, " I")
    assert not allows(inside, " Night")


def test_a_line_ends_when_its_syllables_are_full() -> None:
    # Three syllables of four: the last word has one, or two and an unstressed end.
    mask = state_after("The old light", lines=2, syllables=4)
    assert not allows(mask, "\n")
    assert allows(mask, " sea")
    assert not allows(state_after("The old light the", lines=2, syllables=4), "\n")  # no line ends so
    full = state_after("The old light sea", lines=2, syllables=4)
    assert allows(full, "\n")
    assert allows(full, ".")
    assert not allows(full, " sea")


def test_a_feminine_ending_may_have_one_more() -> None:
    assert allows(state_after("The old light never", lines=2, syllables=4), "\n")
    assert not allows(state_after("The old light beyond", lines=2, syllables=5), " sea")


def test_a_rhyme_must_be_met_by_another_word() -> None:
    assert not allows(
        state_after("The old gold night\nThe old gold night", lines=2, syllables=4, rhyme="AA"), "\n"
    )
    assert not allows(state_after("The old gold night\nThe old gold sea", lines=2, syllables=4, rhyme="AA"), "\n")
    assert state_after("The old gold night\nThe old gold light", lines=2, syllables=4, rhyme="AA")[END]


def test_the_lines_of_different_letters_do_not_rhyme() -> None:
    text = "The old gold night\nThe old gold light"
    assert not allows(state_after(text, lines=4, syllables=4, rhyme="ABAB"), "\n")


def test_stanzas_are_parted_by_an_empty_line() -> None:
    text = "The old gold night\nThe old gold sea"
    mask = state_after(text, lines=4, stanza=2, syllables=4)
    assert allows(mask, "\n")
    assert allows(mask, "\n\n")
    between = state_after(f"{text}\n", lines=4, stanza=2, syllables=4)
    assert np.flatnonzero(between).tolist() == [english()._vocabulary.by_bytes[b"\n"]]
    whole = state_after(text, lines=2, syllables=4)
    assert not allows(whole, "\n")
    assert whole[END]


def test_the_letters_of_a_scheme_begin_anew_with_each_stanza_or_go_on_through_the_poem() -> None:
    couplets = "The old gold night\nThe old gold light\n\nThe old gold sea"
    assert not allows(state_after(couplets, lines=4, stanza=2, syllables=4, rhyme="AA"), "a")
    assert allows(state_after(couplets, lines=4, stanza=2, syllables=4, rhyme="AA"), "\n")
    assert not allows(state_after(couplets, lines=4, stanza=2, syllables=4, rhyme="AAAA"), "\n")


def test_a_free_line_is_not_written_twice_and_not_left_empty() -> None:
    assert not allows(state_after("Sea\nSea", lines=3), "\n")
    assert allows(state_after("Sea\nSea ", lines=3), "a")
    assert not allows(state_after('"', lines=3), "\n")
    assert allows(state_after("Sea\nSeas", lines=3), "\n")


@pytest.mark.parametrize("asked", [asked for asked, _ in FORMS], ids=str)
def test_a_text_goes_on_from_its_tokens_alone(asked: dict[str, object]) -> None:
    rules = rules_for("verse", **asked)
    tokens = walk(made(english(), rules), by_chance(11), tokens_needed(rules))
    whole = made(english(), rules)

    for taken, token in enumerate(tokens):
        again = made(english(), rules)
        for before in tokens[:taken]:
            again.accept(before)
        assert np.array_equal(again.allowed(), whole.allowed())
        whole.accept(token)


@pytest.mark.parametrize("text", ["zz", "T,", "Thx", "The\n", "\n"])
def test_a_token_that_breaks_the_form_is_an_error(text: str) -> None:
    with pytest.raises(Broken):
        state_after(text, lines=2, syllables=8)


def test_a_vocabulary_without_letters_is_unfit() -> None:
    digits = Vocabulary([b"", *(text.encode() for text in "0123456789\n")], size=12, end_ids=frozenset({END}))

    with pytest.raises(FormUnfit, match="words of verse"):
        Constraints(digits).of(rules_for("verse", lines=2, rhyme="AA"), 100)


def test_a_vocabulary_without_line_ends_is_unfit() -> None:
    texts = [text for text in vocabulary_of().tokens if b"\n" not in text]

    with pytest.raises(FormUnfit, match="line ends"):
        Constraints(Vocabulary(texts, size=400, end_ids=frozenset({END}))).of(rules_for("verse", lines=2), 100)
