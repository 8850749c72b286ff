"""A device that runs ahead of the host changes no text: a step is begun before the draws of the last are known."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.engine.asking import (
    PROMPTS,
    Answer,
    TakingTurns,
    assert_same,
    finish,
    one_of_each,
    run,
    submit,
)
from tests.unit.engine.lookahead_backend import LookaheadBackend, load
from worker.engine import Delta, Engine, EngineCancelled, EngineExpired, Request
from worker.engine.backends.plain import PlainBackend
from worker.engine.loading import LoadedModel

Ask = Callable[..., Request]
Clock = Callable[[float], None]


@pytest.fixture(scope="module")
def plain(checkpoint: Path) -> LoadedModel:
    return load(checkpoint, PlainBackend(precision="fp32"))


@pytest.fixture
def ahead(checkpoint: Path) -> LoadedModel:
    return load(checkpoint, LookaheadBackend())


@pytest.fixture(scope="module")
def requests(plain: LoadedModel) -> list[Request]:
    return one_of_each(plain.tokenizer)


@pytest.fixture(scope="module")
def alone(plain: LoadedModel, requests: list[Request]) -> list[Answer]:
    """The answers of a device that does not run ahead."""
    return [run(Engine(plain, slots=1), [request])[0] for request in requests]


def events(loaded: LoadedModel) -> list[tuple[str, int]]:
    backend = loaded.model.backend
    assert isinstance(backend, LookaheadBackend)
    return backend.events


@pytest.mark.parametrize("slots", [1, 2, 5, 16])
def test_texts_are_the_same_as_without(
    ahead: LoadedModel, requests: list[Request], alone: list[Answer], slots: int
) -> None:
    assert_same(run(Engine(ahead, slots=slots), requests), alone)


def test_the_next_step_is_begun_before_the_draws_of_the_last_are_waited_for(ahead: LoadedModel, ask: Ask) -> None:
    run(Engine(ahead, slots=1), [ask(max_tokens=4, logit_bias={0: -100.0})])

    assert [(what, n) for what, n in events(ahead) if what != "draw"] == [
        ("forward", 0),
        ("forward", 1),
        ("wait", 0),
        ("forward", 2),
        ("wait", 1),
        ("forward", 3),
        ("wait", 2),
        ("wait", 3),
    ]


@pytest.mark.parametrize(
    "fields", [{"banned": ("qq",)}, {"constraint": TakingTurns}], ids=["banned", "constraint"]
)
def test_a_text_whose_draws_depend_on_its_last_token_waits_for_it(
    ahead: LoadedModel, ask: Ask, fields: dict[str, object]
) -> None:
    run(Engine(ahead, slots=1), [ask(max_tokens=3, logit_bias={0: -100.0}, **fields)])

    steps = [(what, n) for what, n in events(ahead) if what != "draw"]
    assert steps == [("forward", 0), ("wait", 0), ("forward", 1), ("wait", 1), ("forward", 2), ("wait", 2)]


def test_a_text_that_waits_for_its_token_holds_up_nobody(ahead: LoadedModel, ask: Ask) -> None:
    engine = Engine(ahead, slots=2)
    waits = submit(engine, ask(max_tokens=100, constraint=TakingTurns, logit_bias={0: -100.0}))
    blind = submit(engine, ask(max_tokens=100, logit_bias={0: -100.0}))

    for _ in range(11):
        engine.step()

    assert (len(waits.tokens), len(blind.tokens)) == (5, 10)


def test_the_step_after_the_end_of_a_text_is_computed_in_vain_and_ignored(
    plain: LoadedModel, ahead: LoadedModel, ask: Ask
) -> None:
    ends = ask(seed=5, logit_bias={0: 100.0}, min_tokens=3)
    [expected] = run(Engine(plain, slots=1), [ends])
    engine = Engine(ahead, slots=1)

    [answer] = run(engine, [ends])
    engine.step()

    assert_same([answer], [expected])
    assert answer.tokens[-1] == 0
    assert engine.stats().tokens_decoded == len(answer.tokens) + 1
    assert engine.stats().tokens_reserved == 0


def test_who_takes_the_slot_and_memory_of_an_ended_text_is_not_harmed_by_its_last_step(
    plain: LoadedModel, ahead: LoadedModel, ask: Ask
) -> None:
    requests = [
        ask(prompt, seed=seed, logit_bias={0: 8.0}, min_tokens=seed % 5) for seed, prompt in enumerate(PROMPTS)
    ]
    expected = [run(Engine(plain, slots=1), [request])[0] for request in requests]

    answers = run(Engine(ahead, slots=2, kv_tokens=96), requests)

    assert_same(answers, expected)
    assert sum(answer.finished.reason == "stop" for answer in answers) > 8


@settings(max_examples=15)
@given(
    evictions=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 11)), min_size=3, max_size=20),
    slots=st.integers(1, 12),
)
def test_texts_may_be_evicted_while_their_draws_are_under_way(
    checkpoint: Path, requests: list[Request], alone: list[Answer], evictions: list[tuple[int, int]], slots: int
) -> None:
    engine = Engine(load(checkpoint, LookaheadBackend()), slots=slots)
    answers = [submit(engine, request) for request in requests]

    def evict(step: int) -> None:
        for when, which in evictions:
            if when == step:
                engine.evict(answers[which].future)

    finish(engine, answers, evict)

    assert_same(answers, alone)


def test_an_evicted_text_gets_the_token_that_was_under_way(ahead: LoadedModel, ask: Ask) -> None:
    engine = Engine(ahead, slots=1)
    answer = submit(engine, ask())
    waits = submit(engine, ask())
    engine.step()  # its first draw is under way
    assert answer.tokens == []

    engine.evict(answer.future)
    engine.step()

    assert len(answer.tokens) == 1
    assert engine.stats().evictions == 1
    assert (engine.running(), engine.waiting(), waits.tokens) == (1, 1, [])


def test_a_text_that_ends_with_the_draw_under_way_is_not_evicted(ahead: LoadedModel, ask: Ask) -> None:
    engine = Engine(ahead, slots=1)
    answer = submit(engine, ask(max_tokens=1))
    engine.step()

    engine.evict(answer.future)
    engine.step()

    assert answer.finished.tokens == 1
    assert (len(engine._batch.batcher), engine.stats().evictions) == (0, 0)


def test_a_cancelled_text_gets_the_token_that_was_under_way_and_no_more(
    plain: LoadedModel, ahead: LoadedModel, ask: Ask
) -> None:
    stays = ask(seed=3)
    [expected] = run(Engine(plain, slots=1), [stays])
    engine = Engine(ahead, slots=2)
    gone, answer = submit(engine, ask(seed=1)), submit(engine, stays)
    for _ in range(3):
        engine.step()

    engine.cancel(gone.future)
    finish(engine, [answer])

    assert isinstance(gone.error, EngineCancelled)
    assert len(gone.tokens) == 3
    assert_same([answer], [expected])
    assert engine.stats().tokens_reserved == 0


def test_a_text_that_ends_with_the_draw_under_way_is_not_cancelled(ahead: LoadedModel, ask: Ask) -> None:
    engine = Engine(ahead, slots=1)
    answer = submit(engine, ask(max_tokens=1))
    engine.step()
    assert not answer.future.done()

    engine.cancel(answer.future)
    engine.step()

    assert answer.finished.tokens == 1


def test_a_deadline_that_passes_while_a_draw_is_under_way_ends_that_text_alone(
    plain: LoadedModel, ahead: LoadedModel, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    stays = ask(seed=3)
    [expected] = run(Engine(plain, slots=1), [stays])
    now = [0.0]
    monkeypatch.setattr("worker.engine.engine.time", SimpleNamespace(monotonic=lambda: now[0]))
    engine = Engine(ahead, slots=2)
    late, answer = submit(engine, ask(seed=1, deadline=5.0)), submit(engine, stays)
    for _ in range(3):
        engine.step()

    now[0] = 5.0
    finish(engine, [answer])

    assert isinstance(late.error, EngineExpired)
    assert len(late.tokens) == 3
    assert_same([answer], [expected])


def test_a_callback_that_fails_ends_its_text_alone_and_the_step_it_had_begun_is_ignored(
    plain: LoadedModel, ahead: LoadedModel, ask: Ask
) -> None:
    stays = ask(seed=3)
    [expected] = run(Engine(plain, slots=1), [stays])
    engine, calls = Engine(ahead, slots=2), []

    def fail(delta: Delta) -> None:
        calls.append(delta)
        raise KeyError("no such reader")

    broken = engine.submit(ask(seed=1), fail)
    [answer] = run(engine, [stays])

    assert isinstance(broken.exception(timeout=0), KeyError)
    assert len(calls) == 1
    assert_same([answer], [expected])


def test_stopping_with_a_draw_under_way_fails_the_text_and_frees_its_memory(ahead: LoadedModel, ask: Ask) -> None:
    engine = Engine(ahead, slots=1)
    answer = submit(engine, ask())
    engine.step()

    engine.stop()

    assert answer.future.done()
    assert (answer.tokens, engine.stats().tokens_reserved) == ([], 0)


def test_a_token_is_drawn_again_from_its_own_logits_although_the_next_step_has_begun(
    plain: LoadedModel, ahead: LoadedModel, ask: Ask
) -> None:
    letters = {plain.tokenizer.encode(letter)[0]: 100.0 for letter in "abc"}
    redrawn = ask(logit_bias=letters, banned=("ab", "cc", "ba"))
    blind = ask(seed=3, max_tokens=60, logit_bias={0: -100.0})
    [expected] = run(Engine(plain, slots=1), [redrawn])

    answer, _ = run(Engine(ahead, slots=2), [redrawn, blind])

    assert_same([answer], [expected])
