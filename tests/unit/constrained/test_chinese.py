"""Whatever is drawn of what regulated verse allows, the form is met."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.forms.checker import check_chinese
from quire.errors import FormUnfit
from quire.forms import tokens_needed
from tests.unit.constrained.vocabularies import (
    END,
    by_chance,
    chinese,
    made,
    rules_for,
    text_of,
    vocabulary_of,
    walk,
)
from worker.creative.constrained.forced import Broken
from worker.creative.constrained.hanzi import characters
from worker.creative.constrained.making import Constraints
from worker.creative.constrained.vocabulary import Vocabulary

FORMS = {"五绝": (4, 5), "七绝": (4, 7), "五律": (8, 5), "七律": (8, 7)}


def written(text: str) -> list[int]:
    """Return the longest tokens that write a text, from left to right."""
    vocabulary = chinese()._vocabulary
    tokens, rest = [], text.encode()
    while rest:
        tokens.append(vocabulary.prefixes(rest)[-1])
        rest = rest[len(vocabulary.tokens[tokens[-1]]) :]
    return tokens


def state_after(text: str, form: str = "五绝", **asked: object) -> "np.ndarray":
    constraint = made(chinese(), rules_for(form, **asked))
    for token in written(text):
        constraint.accept(token)
    return constraint.allowed()


def allows(mask: "np.ndarray", text: str | bytes) -> bool:
    wanted = text.encode() if isinstance(text, str) else text
    return bool(mask[chinese()._vocabulary.by_bytes[wanted]])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("rhyme", [None, "none"])
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_every_path_that_is_allowed_meets_the_form(form: str, rhyme: str | None, data: st.DataObject) -> None:
    rules = rules_for(form, rhyme=rhyme)
    lines, characters = FORMS[form]

    tokens = walk(
        made(chinese(), rules),
        lambda allowed: allowed[data.draw(st.integers(0, len(allowed) - 1))],
        tokens_needed(rules),
    )

    verdict = check_chinese(text_of(chinese(), tokens), lines=lines, characters=characters, rhymed=not rhyme)
    assert verdict.met, text_of(chinese(), tokens)


@pytest.mark.parametrize("seed", range(20))
def test_the_longest_tokens_meet_the_form_too(seed: int) -> None:
    rules, tokens_of = rules_for("七律"), chinese()._vocabulary.tokens
    draw = by_chance(seed)

    def longest(allowed: list[int]) -> int:
        most = max(len(tokens_of[token]) for token in allowed)
        return draw([token for token in allowed if len(tokens_of[token]) >= most - 1])

    tokens = walk(made(chinese(), rules), longest, tokens_needed(rules))

    assert check_chinese(text_of(chinese(), tokens), lines=8, characters=7, rhymed=True).met


def test_a_character_may_be_written_byte_by_byte_and_across_tokens() -> None:
    first, second, third = (bytes([value]) for value in "月".encode())

    assert allows(state_after(""), first)
    begun = made(chinese(), rules_for("五绝"))
    begun.accept(chinese()._vocabulary.by_bytes[first + second])
    mask = begun.allowed()
    assert allows(mask, third)
    assert allows(mask, third + "明".encode()[:1])  # and the next one is begun
    assert not allows(mask, "月")


def test_what_is_no_character_of_verse_is_never_begun() -> None:
    mask = state_after("")

    for text in ("a", " ", "\n", "，", "月a", "a月", b"\xff", b"\xf0", b"\x80", b"\xe3"):
        assert text not in chinese()._vocabulary.by_bytes or not allows(mask, text), text


def test_tokens_are_allowed_up_to_the_end_of_the_line_and_not_beyond() -> None:
    assert allows(state_after("山"), "明月春风山") is False
    assert allows(state_after(""), "明月春风山") is True
    assert allows(state_after("山山"), "月明风") is True
    assert allows(state_after("山山山"), "月明风") is False


def test_lines_are_punctuated_by_turns_and_the_text_ends_behind_the_last() -> None:
    by_bytes = chinese()._vocabulary.by_bytes
    comma, stop = ({by_bytes[text.encode()[:1]], by_bytes[text.encode()]} for text in "，。")

    assert set(np.flatnonzero(state_after("春风明月山"))) == comma | {by_bytes["，\n".encode()]}
    assert set(np.flatnonzero(state_after("春风明月山，\n春风明月人"))) == stop
    whole = "春风明月山，\n明月山风春。\n春风山月明，\n明月春风人。"
    assert set(np.flatnonzero(state_after(whole, rhyme="none"))) == {END}


def test_no_two_lines_end_in_the_same_character() -> None:
    assert allows(state_after("春风明月"), "山") is True
    assert allows(state_after("春风明月山，\n春风明月"), "山") is False


def test_a_rhyme_has_a_level_tone_and_follows_the_first() -> None:
    # 春 chun1 and 人 ren2 rhyme; 山 shan1 does not; 月 yue4 has no level tone.
    second = "山山山山山，\n山山山山"
    assert allows(state_after(second), "月") is False
    assert allows(state_after(second, rhyme="none"), "月") is True
    fourth = f"{second}春。\n山山山山明，\n山山山山"
    assert allows(state_after(fourth), "风") is False
    constraint = made(chinese(), rules_for("五绝"))
    for token in written(f"{fourth}人。"):
        constraint.accept(token)
    assert np.flatnonzero(constraint.allowed()).tolist() == [END]


def test_a_rhyme_is_begun_only_with_bytes_that_one_of_its_characters_has() -> None:
    fourth = "山山山山山，\n山山山山春。\n山山山山明，\n山山山山"
    mask = state_after(fourth)
    begun = {text for text in chinese()._vocabulary.by_bytes if len(text) == 1 and allows(mask, text)}

    every = characters()
    rhyme = every.rhymes[every.texts.index("春".encode())]
    assert begun == {
        text[:1]
        for text, of in zip(every.texts, every.rhymes, strict=True)
        if of == rhyme and text != "春".encode()
    }


def test_a_text_goes_on_from_its_tokens_alone() -> None:
    rules = rules_for("七律")
    tokens = walk(made(chinese(), rules), by_chance(3), tokens_needed(rules))

    for taken in range(len(tokens)):
        again = made(chinese(), rules)
        whole = made(chinese(), rules)
        for token in tokens[:taken]:
            again.accept(token)
        for token in tokens[:taken]:
            whole.allowed()
            whole.accept(token)
        assert np.array_equal(again.allowed(), whole.allowed())


@pytest.mark.parametrize("text", ["a", "春风明月山春", "春风明月山。", "\n"])
def test_a_token_that_breaks_the_form_is_an_error(text: str) -> None:
    with pytest.raises(Broken):
        state_after(text)


def test_a_vocabulary_without_chinese_is_unfit() -> None:
    ascii_alone = Vocabulary([b"", *(bytes([value]) for value in range(128))], size=129, end_ids=frozenset({END}))

    with pytest.raises(FormUnfit, match="Chinese"):
        Constraints(ascii_alone).of(rules_for("五绝"), 100)


def test_a_vocabulary_that_cannot_end_is_unfit() -> None:
    endless = Vocabulary(vocabulary_of().tokens, size=300, end_ids=frozenset())

    with pytest.raises(FormUnfit, match="ends a text"):
        Constraints(endless).of(rules_for("五绝"), 100)
