import pytest

from quire.asking.composing import Composed, Limits
from quire.asking.composing import composed as composed_for
from quire.asking.request import JobRequest
from quire.asking.validation import checked
from quire.errors import InvalidField, PromptTooLong
from quire.preparation import Spans

LIMITS = Limits(context_length=20, vocab_size=100)


def letters(text: str) -> list[tuple[int, int]]:
    """A tokenizer of one token for each character."""
    return [(index, index + 1) for index in range(len(text))]


def composed(asked: JobRequest, limits: Limits, spans: Spans, *, writes: bool = True) -> Composed:
    return composed_for(asked, limits, spans, can_write=lambda _: writes)


def wanted(**body: object) -> JobRequest:
    return checked(JobRequest, {"max_tokens": 10} | body)


def test_a_prompt_may_fill_what_max_tokens_leaves() -> None:
    made = composed(wanted(prompt="x" * 10), LIMITS, letters)
    assert (made.prompt_tokens, made.spec.input.changes) == (10, [])


def test_one_token_more_is_too_long() -> None:
    with pytest.raises(PromptTooLong, match=r"11 tokens, 1 too many"):
        composed(wanted(prompt="x" * 11), LIMITS, letters)


def test_a_cut_is_told() -> None:
    made = composed(wanted(prompt="a" + "x" * 10, truncate="start"), LIMITS, letters)
    assert made.spec.input.prompt == "x" * 10
    assert [(change.what, change.count) for change in made.spec.input.changes] == [("truncated_tokens", 1)]


def test_no_room_for_a_prompt_blames_max_tokens() -> None:
    with pytest.raises(InvalidField) as caught:
        composed(wanted(prompt="x", max_tokens=20), LIMITS, letters)
    assert caught.value.fields[0].field == "max_tokens"


def test_a_prompt_without_any_token_is_refused() -> None:
    with pytest.raises(InvalidField) as caught:
        composed(wanted(prompt="x"), LIMITS, lambda _: [])
    assert caught.value.fields[0].field == "prompt"


def test_the_last_token_of_the_vocabulary_may_be_biased() -> None:
    assert composed(wanted(prompt="x", logit_bias={"99": 1}), LIMITS, letters).prompt_tokens == 1
    with pytest.raises(InvalidField) as caught:
        composed(wanted(prompt="x", logit_bias={"100": 1}), LIMITS, letters)
    assert caught.value.fields[0].field == "logit_bias.100"


VERSE = Limits(context_length=300, vocab_size=100)


def of_form(**body: object) -> JobRequest:
    return checked(JobRequest, {"title": "x"} | body)


def refused(asked: JobRequest, limits: Limits = VERSE, *, writes: bool = True) -> str:
    with pytest.raises(InvalidField) as caught:
        composed(asked, limits, letters, writes=writes)
    return caught.value.fields[0].field


def test_a_form_with_rules_has_the_tokens_that_it_needs() -> None:
    made = composed(of_form(form="五绝"), VERSE, letters)

    assert made.max_tokens == 76
    assert made.spec.input.rules is not None
    assert made.spec.input.rules.characters == 5


def test_where_the_context_has_less_room_a_form_has_what_there_is() -> None:
    prompt = len("<en><verse>x|\n")

    assert composed(of_form(form="verse", lines=8), VERSE, letters).max_tokens == 8 * 32 + 1
    short = Limits(context_length=250, vocab_size=100)
    assert composed(of_form(form="verse", lines=8), short, letters).max_tokens == 250 - prompt


def test_a_form_that_the_context_is_too_short_for_is_refused() -> None:
    assert refused(of_form(form="verse", lines=12)) == "lines"
    assert refused(of_form(form="七律"), Limits(context_length=130, vocab_size=100)) == "form"


def test_fewer_tokens_than_a_form_needs_are_refused() -> None:
    assert refused(of_form(form="七绝", max_tokens=99)) == "max_tokens"
    assert composed(of_form(form="七绝", max_tokens=100), VERSE, letters).max_tokens == 100


def test_a_form_that_the_model_cannot_write_is_refused() -> None:
    assert refused(of_form(form="七绝"), writes=False) == "form"
    assert composed(of_form(form="词"), VERSE, letters, writes=False).spec.input.rules is None


def test_a_book_reserves_ahead_what_one_draw_of_a_window_may_bill() -> None:
    def of(draws: int) -> Composed:
        book = {"title": "Sea", "premise": "A voyage.", "parts": 2, "guard": {"draws": draws}}
        asked = checked(JobRequest, {"kind": "longform", "longform": book})
        return composed(asked, Limits(context_length=512, vocab_size=100), letters)

    plan = of(8).spec.longform

    assert plan is not None
    assert of(8).estimate == of(1).estimate == of(1).prompt_tokens + plan.window + plan.ending
