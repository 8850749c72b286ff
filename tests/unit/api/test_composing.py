import pytest

from api.composing import Composed, Limits
from api.composing import composed as composed_for
from api.schemas import JobRequest
from api.validation import checked
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
