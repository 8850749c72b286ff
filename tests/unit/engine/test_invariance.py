"""Whatever happens beside a request and to it, its text is the same in every bit; on each backend of the CPU."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.engine.asking import (
    PROMPTS,
    SAMPLINGS,
    Answer,
    assert_same,
    finish,
    one_of_each,
    run,
    submit,
)
from worker.engine import Engine, Request, Sampling
from worker.engine.loading import LoadedModel

LONG = tuple((i * 37 + 11) % 400 for i in range(70))

Ask = Callable[..., Request]


@pytest.fixture(scope="module")
def requests(any_loaded: LoadedModel) -> list[Request]:
    return one_of_each(any_loaded.tokenizer)


@pytest.fixture(scope="module")
def alone(any_loaded: LoadedModel, requests: list[Request]) -> list[Answer]:
    """The answer to each request when nobody else asks, in an engine of its own."""
    return [run(Engine(any_loaded, slots=1), [request])[0] for request in requests]


def test_the_requests_are_worth_comparing(alone: list[Answer], requests: list[Request]) -> None:
    assert len({tuple(answer.tokens) for answer in alone}) == len(requests) == len(SAMPLINGS) + 1
    assert {answer.finished.reason for answer in alone} == {"stop", "length"}
    assert all(len(answer.logprobs) == len(answer.tokens) for answer in alone)


def test_together_they_get_what_they_get_alone(
    any_loaded: LoadedModel, requests: list[Request], alone: list[Answer]
) -> None:
    assert_same(run(Engine(any_loaded, slots=16), requests), alone)
    assert_same(run(Engine(any_loaded, slots=3), requests), alone)


def test_texts_that_join_and_leave_change_nothing(
    any_loaded: LoadedModel, ask: Ask, requests: list[Request], alone: list[Answer]
) -> None:
    engine = Engine(any_loaded, slots=9)

    def come_and_go(step: int) -> None:
        engine.submit(ask(PROMPTS[step % 16], seed=step, max_tokens=1 + step % 7), lambda _: None)
        if step % 4 == 1:
            engine.cancel(engine.submit(ask(PROMPTS[step % 5], seed=step), lambda _: None))

    assert_same(run(engine, requests, come_and_go), alone)


@pytest.mark.parametrize("prompt_tokens", [1, 3, 7, 300])
def test_prompts_may_be_run_in_chunks_of_any_size(
    any_loaded: LoadedModel,
    requests: list[Request],
    alone: list[Answer],
    prompt_tokens: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("worker.engine.running_batch.PROMPT_TOKENS", prompt_tokens)

    assert_same(run(Engine(any_loaded, slots=6), requests), alone)


@settings(max_examples=8)
@given(
    evictions=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 10)), min_size=3, max_size=20),
    slots=st.integers(2, 11),
)
def test_texts_may_be_evicted_at_any_time(
    any_loaded: LoadedModel,
    requests: list[Request],
    alone: list[Answer],
    evictions: list[tuple[int, int]],
    slots: int,
) -> None:
    engine = Engine(any_loaded, slots=slots)
    answers = [submit(engine, request) for request in requests]

    def evict(step: int) -> None:
        for when, which in evictions:
            if when == step:
                engine.evict(answers[which].future)

    finish(engine, answers, evict)

    assert_same(answers, alone)


def test_a_text_that_is_evicted_at_every_other_step_ends_the_same(
    any_loaded: LoadedModel, requests: list[Request], alone: list[Answer]
) -> None:
    for request, expected in zip(requests, alone, strict=True):
        engine, answer = evicted_at_every_other_step(any_loaded, request)

        assert_same([answer], [expected])
        assert engine.stats().evictions == len(answer.deltas) // 2


def evicted_at_every_other_step(loaded: LoadedModel, request: Request) -> tuple[Engine, Answer]:
    engine = Engine(loaded, slots=1)
    answer = submit(engine, request)
    finish(engine, [answer], lambda step: engine.evict(answer.future) if step % 2 else None)
    return engine, answer


def test_a_text_goes_on_from_any_of_its_tokens(
    any_loaded: LoadedModel, requests: list[Request], alone: list[Answer]
) -> None:
    for request, whole in zip(requests, alone, strict=True):
        cuts = range(len(whole.deltas))
        answers = run(Engine(any_loaded, slots=8), [resumed(request, whole, cut) for cut in cuts])

        for cut, answer in zip(cuts, answers, strict=True):
            assert answer.deltas == whole.deltas[cut:]
            assert (answer.finished.reason, answer.finished.tokens) == (
                whole.finished.reason,
                whole.finished.tokens,
            )


def resumed(request: Request, whole: Answer, cut: int) -> Request:
    """Return a request for what follows the first `cut` deltas of `whole`."""
    seen = whole.deltas[:cut]
    return Request(
        request.prompt,
        request.sampling,
        generated=tuple(token for delta in seen for token in delta.tokens),
        published=sum(len(delta.text) for delta in seen),
        constraint=request.constraint,
    )


def test_equal_prompts_share_memory_and_get_what_they_get_without_sharing(any_loaded: LoadedModel) -> None:
    requests = [Request(LONG, Sampling(seed=1, sample=i, max_tokens=12, logprobs=1)) for i in range(5)]
    unshared = [Request(r.prompt, r.sampling, scope=str(i)) for i, r in enumerate(requests)]
    engine, other = Engine(any_loaded, slots=5), Engine(any_loaded, slots=5)

    answers, expected = run(engine, requests), run(other, unshared)

    assert_same(answers, expected)
    assert (engine.stats().tokens_shared, other.stats().tokens_shared) == (4 * 64, 0)
    assert len({tuple(answer.tokens) for answer in answers}) == 5


def test_a_beginning_that_is_still_in_memory_gives_the_same_text(any_loaded: LoadedModel) -> None:
    first, second = (Request(LONG, Sampling(seed=seed, max_tokens=12, logprobs=1)) for seed in range(2))
    [expected] = run(Engine(any_loaded, slots=1), [second])
    engine = Engine(any_loaded, slots=1)
    run(engine, [first])

    assert_same(run(engine, [second]), [expected])
    assert engine.stats().tokens_shared == 64


def test_what_earlier_texts_left_in_memory_changes_nothing(
    any_loaded: LoadedModel, requests: list[Request], alone: list[Answer]
) -> None:
    engine = Engine(any_loaded, slots=4)
    for layer in engine._batch._cache._layers:
        for part in layer:
            part.fill_(torch.nan)

    assert_same(run(engine, requests), alone)
