"""Fitting a prompt into a context, counted by a tokenizer with one token for each byte."""

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from quire.preparation import DoesNotFit, Fitted, fit
from quire.testing import byte_tokenizer

TOKENIZER = Tokenizer.from_str(byte_tokenizer())
SIDES = st.sampled_from(["start", "end"])


def spans(text: str) -> list[tuple[int, int]]:
    return list(TOKENIZER.encode(text).offsets)


@pytest.mark.parametrize("truncate", [None, "start", "end"])
@pytest.mark.parametrize("room", [5, 6, 100])
def test_a_prompt_that_fits_is_left_alone(truncate: Literal["start", "end"] | None, room: int) -> None:
    assert fit("Hello", spans, room, truncate) == Fitted("Hello", tokens=5, cut=0)


@pytest.mark.parametrize("truncate", [None, "start", "end"])
def test_an_empty_prompt_fits(truncate: Literal["start", "end"] | None) -> None:
    assert fit("", spans, 1, truncate) == Fitted("", tokens=0, cut=0)


def test_a_prompt_that_may_not_be_cut_is_refused_with_what_is_too_much() -> None:
    with pytest.raises(DoesNotFit) as refused:
        fit("Hello World", spans, 4, None)

    assert (refused.value.tokens, refused.value.excess) == (11, 7)


def test_a_multi_byte_prompt_is_counted_in_tokens_not_characters() -> None:
    with pytest.raises(DoesNotFit) as refused:
        fit("äöü", spans, 5, None)

    assert (refused.value.tokens, refused.value.excess) == (6, 1)


def test_the_start_is_cut_where_the_end_matters() -> None:
    assert fit("Hello World", spans, 5, "start") == Fitted("World", tokens=5, cut=6)


def test_the_end_is_cut_where_the_start_matters() -> None:
    assert fit("Hello World", spans, 5, "end") == Fitted("Hello", tokens=5, cut=6)


@pytest.mark.parametrize(
    ("text", "room", "truncate", "kept"),
    [
        ("a😀", 4, "end", "a"),
        ("a😀", 4, "start", "😀"),
        ("😀a", 4, "start", "a"),
        ("😀a", 4, "end", "😀"),
        ("ää", 3, "start", "ä"),
        ("ää", 3, "end", "ä"),
    ],
)
def test_a_character_is_never_cut_in_two(
    text: str, room: int, truncate: Literal["start", "end"], kept: str
) -> None:
    assert fit(text, spans, room, truncate).text == kept


@pytest.mark.parametrize("truncate", ["start", "end"])
def test_a_prompt_of_which_no_character_fits_is_refused(truncate: Literal["start", "end"]) -> None:
    with pytest.raises(DoesNotFit) as refused:
        fit("😀", spans, 3, truncate)

    assert refused.value.excess == 1


@given(st.text(max_size=60), st.integers(1, 80), SIDES)
def test_what_is_left_fits_and_is_counted_exactly(text: str, room: int, truncate: Literal["start", "end"]) -> None:
    try:
        fitted = fit(text, spans, room, truncate)
    except DoesNotFit:
        edge = text[-1] if truncate == "start" else text[0]
        assert len(edge.encode()) > room
        return

    assert fitted.tokens == len(fitted.text.encode()) <= room
    assert fitted.cut == len(text.encode()) - fitted.tokens
    assert text.endswith(fitted.text) if truncate == "start" else text.startswith(fitted.text)


@given(st.text(st.sampled_from("aäこ😀"), min_size=1, max_size=30), st.integers(4, 80), SIDES)
def test_no_more_is_cut_than_must_be(text: str, room: int, truncate: Literal["start", "end"]) -> None:
    fitted = fit(text, spans, room, truncate)

    left_out = text[: len(text) - len(fitted.text)] if truncate == "start" else text[len(fitted.text) :]
    if left_out:
        next_one = left_out[-1] if truncate == "start" else left_out[0]
        assert fitted.tokens + len(next_one.encode()) > room


def test_a_cut_that_tokenises_into_more_is_cut_again() -> None:
    # Inside the whole, "ab" is one token; cut open, its letters are one each.
    def pairs(text: str) -> list[tuple[int, int]]:
        if len(text) % 2:
            return [(index, index + 1) for index in range(len(text))]
        return [(index, index + 2) for index in range(0, len(text), 2)]

    fitted = fit("abcdefgh", pairs, 3, "start")

    assert fitted == Fitted("cdefgh", tokens=3, cut=1)
