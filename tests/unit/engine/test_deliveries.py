"""Where the host is slower than the device it delivers several tokens at once; the texts are the same."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.engine.asking import Answer, finish, run, submit
from tests.unit.engine.lookahead_backend import LookaheadBackend, load
from worker.engine import Delta, Engine, EngineCancelled, Request, Sampling
from worker.engine.backends.plain import PlainBackend
from worker.engine.loading import LoadedModel
from worker.engine.running_batch import MOST_KEPT

Ask = Callable[..., Request]

SAMPLINGS: tuple[dict[str, object], ...] = (
    {},
    {"temperature": 0},
    {"logit_bias": {0: 6.0}, "min_tokens": 3},
    {"repetition_penalty": 1.3, "frequency_penalty": 0.4},
    {"stop": (" the", "e")},
    {"banned": ("a",)},
    {"logprobs": 1},
    {"max_tokens": 1},
    {"max_tokens": MOST_KEPT},
)


class Patient(LookaheadBackend):
    """A device so fast, for a host with so much time, that as many tokens are kept as may be."""

    delivery_seconds = 1e9


@pytest.fixture
def patient(checkpoint: Path) -> LoadedModel:
    return load(checkpoint, Patient())


@pytest.fixture(scope="module")
def requests() -> list[Request]:
    return [
        Request(tuple(range(5, 10 + seed)), Sampling(**{"seed": seed, "max_tokens": 50, **sampling}))
        for seed, sampling in enumerate(SAMPLINGS * 2)
    ]


@pytest.fixture(scope="module")
def alone(checkpoint: Path, requests: list[Request]) -> list[Answer]:
    engine = Engine(load(checkpoint, PlainBackend(precision="fp32")), slots=1)
    return [run(engine, [request])[0] for request in requests]


def assert_same_texts(answers: list[Answer], expected: list[Answer]) -> None:
    for answer, other in zip(answers, expected, strict=True):
        assert (answer.tokens, answer.text) == (other.tokens, other.text)
        assert answer.finished == other.finished


@pytest.mark.parametrize("slots", [1, 3, 18])
def test_texts_are_those_delivered_token_by_token(
    patient: LoadedModel, requests: list[Request], alone: list[Answer], slots: int
) -> None:
    answers = run(Engine(patient, slots=slots), requests)

    assert_same_texts(answers, alone)
    assert len(answers[0].deltas) < len(alone[0].deltas) / 4


def test_no_more_tokens_are_kept_than_may_be(patient: LoadedModel, ask: Ask) -> None:
    [answer] = run(Engine(patient, slots=1), [ask(max_tokens=100, logit_bias={0: -100.0})])

    assert max(len(delta.tokens) for delta in answer.deltas) == MOST_KEPT


def test_texts_that_ask_about_every_token_get_them_one_by_one(patient: LoadedModel, ask: Ask) -> None:
    [answer] = run(Engine(patient, slots=1), [ask(max_tokens=40, logprobs=2, logit_bias={0: -100.0})])

    assert {len(delta.tokens) for delta in answer.deltas} == {1}


@settings(max_examples=15)
@given(evictions=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 17)), min_size=3, max_size=20))
def test_texts_may_be_evicted_while_tokens_are_kept(
    checkpoint: Path, requests: list[Request], alone: list[Answer], evictions: list[tuple[int, int]]
) -> None:
    engine = Engine(load(checkpoint, Patient()), slots=6)
    answers = [submit(engine, request) for request in requests]

    def evict(step: int) -> None:
        for when, which in evictions:
            if when == step:
                engine.evict(answers[which].future)

    finish(engine, answers, evict)

    assert_same_texts(answers, alone)


def test_a_cancelled_text_gets_what_was_kept(patient: LoadedModel, ask: Ask) -> None:
    engine = Engine(patient, slots=1)
    answer = submit(engine, ask(max_tokens=100, logit_bias={0: -100.0}))
    for _ in range(2 * MOST_KEPT + 3):
        engine.step()
    delivered = len(answer.tokens)

    engine.cancel(answer.future)
    engine.step()

    assert isinstance(answer.error, EngineCancelled)
    assert delivered < len(answer.tokens) == 2 * MOST_KEPT + 3


def test_a_callback_that_fails_on_what_was_kept_fails_its_text_once(patient: LoadedModel, ask: Ask) -> None:
    engine, calls = Engine(patient, slots=1), []

    def fail(delta: Delta) -> None:
        calls.append(delta)
        raise KeyError("no such reader")

    broken = engine.submit(ask(max_tokens=100, logit_bias={0: -100.0}), fail)
    for _ in range(3):
        engine.step()
    engine.cancel(broken)
    for _ in range(3):
        engine.step()

    assert isinstance(broken.exception(timeout=0), KeyError)
    assert len(calls) == 1
    assert engine.stats().tokens_reserved == 0
