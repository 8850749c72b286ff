import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from quire.preparation import prepare
from quire.spec import Change

# Any code point, lone surrogates included; and often those that are treated.
ANYTHING = st.text(
    st.one_of(
        st.characters(),
        st.integers(0xD800, 0xDFFF).map(chr),
        st.sampled_from("\r\n\t\x00\x0b\x7f\x85\ufeff\u2028\u2029e\u0301\u212b\u1e9b\u0323\ufffd"),
    )
)


def changes(text: str) -> dict[str, int]:
    return {change.what: change.count for change in prepare(text).changes}


@pytest.mark.parametrize("text", ["", "Once upon a time", "  two\tblanks \n\n", "Ünïcode — “quotes” 😀 日本語"])
def test_a_clean_text_is_left_as_it_is(text: str) -> None:
    prepared = prepare(text)

    assert (prepared.text, prepared.changes) == (text, ())


@pytest.mark.parametrize(
    ("text", "expected", "what", "count"),
    [
        ("a\r\nb\rc\nd", "a\nb\nc\nd", "line_endings", 2),
        ("a\u2028b\u2029c", "a\nb\nc", "line_endings", 2),
        ("\ufeffa\x00b\x1bc\x7fd\x9fe", "abcde", "control_characters", 5),
        ("a\x0bb\x0cc", "abc", "control_characters", 2),
        ("a\ud800b\udfff", "a\ufffdb\ufffd", "broken_surrogates", 2),
        ("e\u0301 and e\u0301", "é and é", "normalised", 1),
        ("\u212b", "Å", "normalised", 1),
    ],
)
def test_each_kind_of_change_is_made_and_counted(text: str, expected: str, what: str, count: int) -> None:
    prepared = prepare(text)

    assert (prepared.text, prepared.changes) == (expected, (Change(what=what, count=count),))


def test_several_kinds_of_change_are_told_apart() -> None:
    assert changes("e\u0301\r\n\x00\ud800") == {
        "broken_surrogates": 1,
        "line_endings": 1,
        "control_characters": 1,
        "normalised": 1,
    }


def test_letters_that_meet_when_a_control_goes_are_normalised() -> None:
    assert prepare("e\x00\u0301").text == "é"


@given(ANYTHING)
@example("e\x00\u0301")
@example("\r\x00\n")
def test_preparing_twice_changes_nothing_more(text: str) -> None:
    once = prepare(text)

    again = prepare(once.text)

    assert (again.text, again.changes) == (once.text, ())


@given(ANYTHING)
def test_a_prepared_text_can_be_sent_and_is_in_normal_form(text: str) -> None:
    prepared = prepare(text).text

    assert prepared.encode().decode() == prepared
    assert unicodedata.is_normalized("NFC", prepared)


@given(ANYTHING)
def test_a_text_that_differs_says_why(text: str) -> None:
    prepared = prepare(text)

    assert (prepared.text != text) == bool(prepared.changes)


@given(st.text(st.characters(categories=["L", "N", "P", "Zs"])))
def test_blanks_and_letters_stay_as_sent(text: str) -> None:
    composed = unicodedata.normalize("NFC", text)

    assert prepare(composed).text == composed
