"""Requests, and what a caller collects of them while an engine is stepped without a thread."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from worker.engine import Delta, Engine, Finished, Request, Sampling, TokenLogprob
from worker.engine.tokenizer import Tokenizer

WAIT = 60  # seconds; only ever reached by a fault
VOCABULARY = 400
MOST_STEPS = 5_000

PROMPTS = (
    "the rose of ", "She walks", "春眠", "winter ", "a", "the sea and the moon is low and the wind ", "café", "🌹",
    "comes again, again ", "n", "song of stone\n", "night; the moon", "déjà vu ", "and", "In the", ", ",
)  # fmt: skip


@dataclass
class Answer:
    """What a caller collected of one request."""

    future: Future[Finished]
    deltas: list[Delta] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(delta.text for delta in self.deltas)

    @property
    def tokens(self) -> list[int]:
        return [token for delta in self.deltas for token in delta.tokens]

    @property
    def logprobs(self) -> list[TokenLogprob]:
        return [report for delta in self.deltas for report in delta.logprobs]

    @property
    def error(self) -> BaseException | None:
        return self.future.exception(timeout=0)

    @property
    def finished(self) -> Finished:
        """Raises TimeoutError while it runs, and whatever it ended with."""
        return self.future.result(timeout=0)


def submit(engine: Engine, request: Request) -> Answer:
    deltas: list[Delta] = []
    return Answer(engine.submit(request, deltas.append), deltas)


def finish(
    engine: Engine, answers: Sequence[Answer], before_step: Callable[[int], object] = lambda step: None
) -> None:
    """Step until all of `answers` have ended, calling `before_step` with the number of each step, from 0."""
    for step in range(MOST_STEPS):
        if all(answer.future.done() for answer in answers):
            return
        before_step(step)
        engine.step()
    raise AssertionError("the engine has not come to an end")


def run(
    engine: Engine, requests: Iterable[Request], before_step: Callable[[int], object] = lambda step: None
) -> list[Answer]:
    """Submit `requests` at once and step until all have ended."""
    answers = [submit(engine, request) for request in requests]
    finish(engine, answers, before_step)
    return answers


def assert_same(answers: Iterable[Answer], expected: Iterable[Answer]) -> None:
    """Every delta of every text is the same: its tokens, its text, and the bits of its log-probabilities."""
    for answer, other in zip(answers, expected, strict=True):
        assert answer.deltas == other.deltas
        assert answer.finished == other.finished


class TakingTurns:
    """A constraint that allows the tokens of even number in turn with those of odd number."""

    def __init__(self) -> None:
        self.accepted: list[int] = []

    def allowed(self) -> NDArray[np.bool_]:
        return np.arange(VOCABULARY) % 2 == len(self.accepted) % 2

    def accept(self, token: int) -> None:
        self.accepted.append(token)


# One of each kind, in all of which log-probabilities are reported.
SAMPLINGS: tuple[dict[str, object], ...] = (
    {"temperature": 0},
    {},
    {"temperature": 0.8, "top_k": 20},
    {"top_p": 0.9, "min_tokens": 10},
    {"min_p": 0.05, "temperature": 1.4},
    {"repetition_penalty": 1.3, "frequency_penalty": 0.5, "presence_penalty": 0.2},
    {"logit_bias": {5: 3.0, 9: -100.0}},
    {"logit_bias": {0: 12.0}, "min_tokens": 5},
    {"banned": ("a", "th")},
    {"stop": (" the", "is", "e", "a")},
    {"sample": 3, "retry": 2},
)


def one_of_each(tokenizer: Tokenizer) -> list[Request]:
    """Return requests of all kinds of sampling, with short prompts, long ones, and ones that begin alike."""
    long = [(i * 37 + 11) % VOCABULARY for i in range(70)]
    prompts = [tokenizer.encode(PROMPTS[0]), long, long[:50], [*long[:40], 7, 8], tokenizer.encode(PROMPTS[5])]
    requests = [
        Request(
            tuple(prompts[i % len(prompts)]), Sampling(**{"seed": i, "max_tokens": 18, "logprobs": 2, **sampling})
        )
        for i, sampling in enumerate(SAMPLINGS)
    ]
    turns = Request(tuple(long), Sampling(seed=99, max_tokens=18, logprobs=1), constraint=TakingTurns)
    return [*requests, turns]
