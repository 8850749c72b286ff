"""What a text holds and where it ends: stop strings, banned strings, least and most tokens, whole characters."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.engine.asking import PROMPTS, run
from worker.engine import Engine, Finished, Request
from worker.engine.detokenizer import REPLACEMENT
from worker.engine.loading import LoadedModel

Ask = Callable[..., Request]


def spelled(engine: Engine, text: str) -> dict[int, float]:
    """Return a bias that makes a model write nothing but the bytes of `text`, in any order."""
    return {token: 100.0 for byte in text for token in engine.tokenizer.encode(byte)}


def test_seed_sample_and_retry_each_give_another_text(engine: Engine, ask: Ask) -> None:
    variants = ({}, {"seed": 2}, {"sample": 1}, {"retry": 1})

    answers = run(engine, [ask(**variant) for variant in variants])

    assert len({answer.text for answer in answers}) == len(variants)


def test_an_end_token_is_logged_but_is_no_text(engine: Engine, ask: Ask) -> None:
    [answer] = run(engine, [ask(logit_bias={0: 100.0})])

    assert (answer.tokens, answer.text) == ([0], "")
    assert answer.finished.reason == "stop"


def test_an_end_token_does_not_come_before_min_tokens(engine: Engine, ask: Ask) -> None:
    [answer] = run(engine, [ask(logit_bias={0: 100.0}, min_tokens=4)])

    assert answer.tokens.index(0) == 4
    assert answer.finished.tokens == 5


def test_a_text_of_one_token_ends_after_it(engine: Engine, ask: Ask) -> None:
    [answer] = run(engine, [ask(max_tokens=1, logit_bias={0: -100.0})])

    assert (len(answer.tokens), answer.finished.reason) == (1, "length")


@pytest.mark.parametrize("stop", [("ab",), ("aab", "bba"), ("ba", "abab")])
@pytest.mark.parametrize("seed", range(8))
def test_text_is_cut_before_the_first_stop_string_even_across_tokens(
    engine: Engine, ask: Ask, stop: tuple[str, ...], seed: int
) -> None:
    fields = {"seed": seed, "logit_bias": spelled(engine, "ab"), "max_tokens": 40}
    free, stopped = run(engine, [ask(**fields), ask(**fields, stop=stop)])

    end = min(free.text.find(s) + len(s) for s in stop if s in free.text)
    cut = min(free.text.find(s) for s in stop if 0 <= free.text.find(s) <= end - len(s))
    assert stopped.text == free.text[:cut]
    assert stopped.finished == Finished("stop", stopped.finished.mean_logprob, end)


def test_text_that_could_start_a_stop_string_waits_and_is_delivered_at_the_end(engine: Engine, ask: Ask) -> None:
    fields = {"logit_bias": spelled(engine, "a"), "max_tokens": 6}

    [answer] = run(engine, [ask(**fields, stop=("aaaaaaab",))])

    assert [delta.text for delta in answer.deltas] == ["", "", "", "", "", "aaaaaa"]
    assert answer.finished.reason == "length"


def test_stop_strings_do_not_count_before_min_tokens(engine: Engine, ask: Ask) -> None:
    fields = {"logit_bias": spelled(engine, "a"), "max_tokens": 10, "stop": ("aa",)}

    [answer] = run(engine, [ask(**fields, min_tokens=5)])

    assert answer.text == "aaa"
    assert answer.finished.tokens == 5


@settings(max_examples=25)
@given(seed=st.integers(0, 2**64 - 1), prompt=st.sampled_from(PROMPTS))
def test_no_delta_ever_holds_half_a_character(loaded: LoadedModel, ask: Ask, seed: int, prompt: str) -> None:
    engine = Engine(loaded, slots=1)
    bias = dict.fromkeys(spelled(engine, "春🌹é"), 100.0)

    [answer] = run(engine, [ask(prompt, seed=seed, logit_bias=bias, max_tokens=20)])

    # Half a character would have come out as U+FFFD, and not be taken back by its other half.
    assert answer.text == loaded.tokenizer.decode(answer.tokens)


def test_a_character_of_several_tokens_comes_out_with_its_last(engine: Engine, ask: Ask) -> None:
    rose = tuple(engine.tokenizer.encode("🌊"))[:-1]
    last = engine.tokenizer.encode("🌊")[-1]
    assert len(rose) >= 1

    [answer] = run(engine, [ask(generated=rose, max_tokens=len(rose) + 1, logit_bias={last: 100.0})])

    assert [(delta.tokens, delta.text) for delta in answer.deltas] == [((last,), "🌊")]


@pytest.mark.parametrize("temperature", [0.0, 1.0, 2.0])
def test_a_banned_string_is_never_written_across_tokens_either(
    engine: Engine, ask: Ask, temperature: float
) -> None:
    bias = spelled(engine, "abc")
    fields = {"logit_bias": bias, "max_tokens": 60, "temperature": temperature}
    free = run(engine, [ask(seed=seed, **fields) for seed in range(8)])
    banned = ("ab", "cc", "ba") if temperature else (free[0].text[:3],)

    answers = run(engine, [ask(seed=seed, banned=banned, **fields) for seed in range(8)])

    assert any(string in answer.text for answer in free for string in banned)
    assert all(answer.finished.tokens == 60 for answer in answers)
    assert not any(string in answer.text for answer in answers for string in banned)


def test_a_text_with_a_banned_letter_goes_on_without_it(engine: Engine, ask: Ask) -> None:
    answers = run(engine, [ask(seed=seed, banned=(" ", "e"), min_tokens=30, max_tokens=30) for seed in range(8)])

    assert [len(answer.tokens) for answer in answers] == [30] * 8
    assert not any(letter in answer.text for answer in answers for letter in " e")


def test_a_text_of_which_every_character_is_banned_has_none(engine: Engine, ask: Ask) -> None:
    texts = [engine.tokenizer.decode([token]) for token in range(400)]
    everything = tuple({*"".join(texts), REPLACEMENT})
    textless = {token for token, text in enumerate(texts) if not text}

    [answer] = run(engine, [ask(banned=everything, max_tokens=30)])

    assert answer.text == ""
    assert set(answer.tokens) <= textless


def test_logprobs_name_each_token_and_its_alternatives(engine: Engine, ask: Ask) -> None:
    [answer] = run(engine, [ask(logprobs=3, temperature=0, max_tokens=5)])

    assert len(answer.logprobs) == 5
    for report in answer.logprobs:  # greedy: the token is the best of the three
        assert len(report.top) == 3
        assert report.token == report.top[0][0]
        assert report.logprob == pytest.approx(report.top[0][1], rel=1e-5) == max(value for _, value in report.top)
    assert answer.finished.mean_logprob == pytest.approx(sum(r.logprob for r in answer.logprobs) / 5)


def test_no_alternatives_are_named_where_none_are_asked_for(engine: Engine, ask: Ask) -> None:
    none, only_its_own = run(engine, [ask(max_tokens=3), ask(max_tokens=3, logprobs=0)])

    assert none.logprobs == []
    assert [report.top for report in only_its_own.logprobs] == [()] * 3
    assert none.finished == only_its_own.finished


def test_the_mean_logprob_is_of_the_tokens_that_this_request_drew(engine: Engine, ask: Ask) -> None:
    [whole] = run(engine, [ask(logprobs=0, logit_bias={0: -100.0})])

    [rest] = run(engine, [ask(logit_bias={0: -100.0}, generated=tuple(whole.tokens[:20]))])

    last = [report.logprob for report in whole.logprobs[20:]]
    assert rest.finished.mean_logprob == pytest.approx(sum(last) / len(last), rel=1e-6)
    assert rest.finished.tokens == whole.finished.tokens == 24


def test_text_that_was_not_published_is_delivered_again(engine: Engine, ask: Ask) -> None:
    [whole] = run(engine, [ask()])

    [again] = run(engine, [ask(generated=tuple(whole.tokens[:10]), published=3)])

    assert whole.text[:3] + again.text == whole.text


def test_generated_tokens_that_already_hold_the_end_finish_at_once(engine: Engine, ask: Ask) -> None:
    text = tuple(engine.tokenizer.encode("rose and sea"))

    ended, full, stopped = run(
        engine,
        [
            ask(generated=(*text, 0)),
            ask(generated=text, max_tokens=len(text)),
            ask(generated=text, stop=("e an",), published=2),
        ],
    )

    assert (ended.finished.reason, ended.text) == ("stop", "rose and sea")
    assert (full.finished.reason, full.text) == ("length", "rose and sea")
    assert (stopped.finished.reason, stopped.text) == ("stop", "s")
    assert ended.tokens == full.tokens == stopped.tokens == []
    assert ended.finished.mean_logprob == 0
    assert engine.stats().steps == 0


def test_what_looks_like_a_special_token_is_text(engine: Engine) -> None:
    text = "before <|endoftext|> after"

    ids = engine.tokenizer.encode(text)

    assert not set(ids) & engine.tokenizer.end_ids
    assert engine.tokenizer.decode(ids) == text
