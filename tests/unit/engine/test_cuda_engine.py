from tests.unit.engine.interpreted import gpu_backend, loaded_on, plain_backend  # first: it skips without Triton

# isort: split

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from worker.engine import Engine, Request, Sampling
from worker.engine.loading import LoadedModel

Run = Callable[..., list[Any]]

# One of each kind; short, for an interpreter takes milliseconds for what takes a GPU none.
SAMPLINGS: tuple[dict[str, object], ...] = (
    {},
    {"temperature": 0},
    {"top_k": 5, "logprobs": 2},
    {"top_p": 0.9, "temperature": 0.8},
    {"repetition_penalty": 1.5, "frequency_penalty": 0.3},
    {"presence_penalty": 1.0, "min_tokens": 8},
    {"banned": ("a", "th")},
    {"stop": ("e", "on")},
    {"min_p": 0.1, "logit_bias": {5: 3.0}},
    {"logit_bias": {0: 6.0}},
)


class EvenTokens:
    """A constraint that allows the tokens of even number in turn with those of odd number."""

    def __init__(self) -> None:
        self.accepted = 0

    def allowed(self) -> NDArray[np.bool_]:
        return np.arange(400) % 2 == self.accepted % 2

    def accept(self, token: int) -> None:
        self.accepted += 1


@pytest.fixture(scope="module")
def plain(checkpoint: Path) -> LoadedModel:
    return loaded_on(plain_backend(), checkpoint)


@pytest.fixture(scope="module")
def gpu(checkpoint: Path) -> LoadedModel:
    return loaded_on(gpu_backend(), checkpoint)


def requests(loaded: LoadedModel, *, tokens: int = 9) -> list[Request]:
    prompts = ("the rose of the ", "She", "winter comes, and the snow ", "春")
    texts = [
        Request(
            tuple(loaded.tokenizer.encode(prompts[i % len(prompts)])),
            Sampling(**{"seed": i, "max_tokens": tokens, **sampling}),
        )
        for i, sampling in enumerate(SAMPLINGS)
    ]
    return [*texts, Request(texts[0].prompt, Sampling(seed=77, max_tokens=tokens), constraint=EvenTokens)]


def summary(answers: list[Any]) -> list[object]:
    return [(answer.text, answer.tokens, answer.finished and answer.finished.reason) for answer in answers]


@pytest.fixture(scope="module")
def ahead(gpu: LoadedModel, run: Run) -> list[Any]:
    """The answers of a device that runs ahead."""
    return run(Engine(gpu, slots=6), requests(gpu))


def test_texts_of_a_device_that_runs_ahead_are_those_of_the_plain_backend(
    plain: LoadedModel, ahead: list[Any], run: Run
) -> None:
    expected = run(Engine(plain, slots=6), requests(plain))

    assert summary(ahead) == summary(expected)
    for ours, theirs in zip(ahead, expected, strict=True):
        assert ours.finished.mean_logprob == pytest.approx(theirs.finished.mean_logprob, abs=1e-4)
        for one, other in zip(ours.deltas, theirs.deltas, strict=True):
            assert [report.token for report in one.logprobs] == [report.token for report in other.logprobs]


def test_texts_are_the_same_without_running_ahead(ahead: list[Any], checkpoint: Path, run: Run) -> None:
    waiting = loaded_on(gpu_backend(lookahead=False), checkpoint)

    assert summary(run(Engine(waiting, slots=6), requests(waiting))) == summary(ahead)


def test_running_ahead_takes_a_token_of_every_text_at_every_step(gpu: LoadedModel, run: Run) -> None:
    engine = Engine(gpu, slots=2)
    texts = [Request((5, 6, 7), Sampling(seed=seed, max_tokens=12, min_tokens=12)) for seed in range(2)]

    answers = run(engine, texts)

    assert [answer.finished.tokens for answer in answers] == [12, 12]
    # One more, in which only the last step is delivered.
    assert engine.stats().steps == 12


def test_a_text_that_is_evicted_and_comes_back_is_the_same(plain: LoadedModel, gpu: LoadedModel, run: Run) -> None:
    texts = [
        Request((5, 6, 7, 8), Sampling(seed=seed, max_tokens=10, min_tokens=10, repetition_penalty=1.4))
        for seed in range(3)
    ]
    expected = run(Engine(plain, slots=3), texts)
    engine, collected = Engine(gpu, slots=2), [[] for _ in texts]

    futures = [engine.submit(text, deltas.append) for text, deltas in zip(texts, collected, strict=True)]
    for step in range(60):
        if step in {4, 9}:
            engine.evict(futures[step % 3])
        engine.step()

    found = [[token for delta in deltas for token in delta.tokens] for deltas in collected]
    assert engine.stats().evictions == 2
    assert found == [answer.tokens for answer in expected]


def test_a_cancelled_text_leaves_its_slot_to_the_next_one(plain: LoadedModel, gpu: LoadedModel, run: Run) -> None:
    later = Request((9, 10, 11), Sampling(seed=3, max_tokens=8, frequency_penalty=1.0))
    [expected] = run(Engine(plain, slots=1), [later])
    engine = Engine(gpu, slots=1)

    gone = engine.submit(Request((5, 6), Sampling(seed=1, max_tokens=50)), lambda _: None)
    for _ in range(5):
        engine.step()
    engine.cancel(gone)
    [found] = run(engine, [later])

    assert gone.exception(timeout=0) is not None
    assert found.tokens == expected.tokens


def test_a_beginning_that_is_found_in_memory_counts_for_penalties(
    plain: LoadedModel, gpu: LoadedModel, run: Run
) -> None:
    prompt = tuple(range(20, 60))  # two whole blocks and a part
    texts = [
        Request(prompt, Sampling(seed=seed, max_tokens=6, repetition_penalty=3.0, top_k=50)) for seed in range(3)
    ]
    expected = run(Engine(plain, slots=3), texts)
    engine = Engine(gpu, slots=3)

    found = [run(engine, [text])[0] for text in texts]

    assert engine.stats().tokens_shared >= 64
    assert [answer.tokens for answer in found] == [answer.tokens for answer in expected]


def test_the_engines_thread_runs_ahead_and_stops(gpu: LoadedModel) -> None:
    engine = Engine(gpu, slots=2)
    engine.start()

    futures = [
        engine.submit(Request((5, 6), Sampling(seed=seed, max_tokens=5, min_tokens=5)), lambda _: None)
        for seed in range(3)
    ]
    tokens = [future.result(timeout=60).tokens for future in futures]
    engine.stop()

    assert tokens == [5, 5, 5]
    assert engine.dead is None
