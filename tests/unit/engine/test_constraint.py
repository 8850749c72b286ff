"""A request may say of every next token which may come; who does not hold to the rules fails alone."""

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.unit.engine.asking import VOCABULARY, WAIT, TakingTurns, assert_same, finish, run, submit
from worker.engine import Engine, Request
from worker.engine.constraint import Constraint
from worker.engine.gpt2 import Gpt2
from worker.engine.loading import LoadedModel

Ask = Callable[..., Request]


class Free:
    """Allows everything; the tests' own constraints change one of its methods."""

    def allowed(self) -> NDArray[np.bool_] | None:
        return None

    def accept(self, token: int) -> None:
        pass


class Only(Free):
    """Allows some tokens, always the same."""

    def __init__(self, *tokens: int) -> None:
        self._mask = np.zeros(VOCABULARY, np.bool_)
        self._mask[list(tokens)] = True

    def allowed(self) -> NDArray[np.bool_]:
        return self._mask


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_every_token_is_one_that_was_allowed(any_loaded: LoadedModel, ask: Ask, temperature: float) -> None:
    requests = [ask(seed=seed, temperature=temperature, constraint=TakingTurns) for seed in range(4)]

    answers = run(Engine(any_loaded, slots=3), [*requests, ask(seed=9)])

    for answer in answers[:4]:
        assert [token % 2 for token in answer.tokens] == [i % 2 for i in range(len(answer.tokens))]
        assert len(answer.tokens) > 1
    assert any(token % 2 != i % 2 for i, token in enumerate(answers[4].tokens))


def test_a_mask_may_be_any_view_of_truth_values(any_loaded: LoadedModel, ask: Ask) -> None:
    table = np.zeros((VOCABULARY, 3), np.bool_)
    table[7:20, 1] = True
    column = Free()
    column.allowed = lambda: table[:, 1]

    [answer] = run(Engine(any_loaded, slots=1), [ask(constraint=lambda: column, max_tokens=30)])

    assert set(answer.tokens) <= set(range(7, 20))
    assert len(set(answer.tokens)) > 1


def test_a_constraint_that_allows_everything_changes_nothing(engine: Engine, ask: Ask) -> None:
    free, constrained = run(engine, [ask(logprobs=2), ask(logprobs=2, constraint=Free)])

    assert_same([constrained], [free])


def test_a_constraint_that_allows_nothing_ends_the_text(any_loaded: LoadedModel, ask: Ask) -> None:
    class NothingAfterThree(Free):
        def __init__(self) -> None:
            self.left = 3

        def allowed(self) -> NDArray[np.bool_]:
            return np.full(VOCABULARY, self.left > 0)

        def accept(self, token: int) -> None:
            self.left -= 1

    [answer] = run(Engine(any_loaded, slots=1), [ask(constraint=NothingAfterThree, logit_bias={0: -100.0})])

    assert (len(answer.tokens), answer.finished.tokens, answer.finished.reason) == (3, 3, "stop")


def test_the_end_of_a_text_must_be_allowed_too(engine: Engine, ask: Ask) -> None:
    wants_to_end = {"logit_bias": {0: 100.0}, "max_tokens": 5}

    ends, goes_on = run(
        engine,
        [ask(constraint=lambda: Only(0, 7), **wants_to_end), ask(constraint=lambda: Only(7), **wants_to_end)],
    )

    assert (ends.tokens, ends.finished.reason) == ([0], "stop")
    assert (goes_on.tokens, goes_on.finished.reason) == ([7] * 5, "length")


def test_where_banned_strings_leave_none_of_the_allowed_tokens_the_text_ends(engine: Engine, ask: Ask) -> None:
    a, b = (engine.tokenizer.encode(letter)[0] for letter in "ab")

    [answer] = run(engine, [ask(constraint=lambda: Only(a, b), banned=("ab", "ba", "aa", "bb"))])

    assert len(answer.tokens) == 1
    assert answer.finished.reason == "stop"


def test_a_resumed_text_begins_with_a_new_constraint_that_is_told_all_tokens(engine: Engine, ask: Ask) -> None:
    [whole] = run(engine, [ask(constraint=TakingTurns, logit_bias={0: -100.0})])
    made: list[TakingTurns] = []

    def make() -> TakingTurns:
        made.append(TakingTurns())
        return made[-1]

    [answer] = run(engine, [ask(constraint=make, logit_bias={0: -100.0}, generated=tuple(whole.tokens[:7]))])

    assert [*whole.tokens[:7], *answer.tokens] == whole.tokens
    assert [constraint.accepted for constraint in made] == [whole.tokens]


def test_an_evicted_text_is_constrained_as_before(engine: Engine, ask: Ask) -> None:
    [whole] = run(engine, [ask(constraint=TakingTurns)])
    answer = submit(engine, ask(constraint=TakingTurns))

    finish(engine, [answer], lambda step: engine.evict(answer.future))

    assert engine.stats().evictions > 1
    assert_same([answer], [whole])


def failing(method: str) -> Callable[[], Constraint]:
    """Return a maker of constraints whose `method` fails at the third token."""

    class Failing(Free):
        def __init__(self) -> None:
            self.tokens = 0

        def allowed(self) -> None:
            if method == "allowed" and self.tokens == 2:
                raise LookupError("no such state")

        def accept(self, token: int) -> None:
            self.tokens += 1
            if method == "accept" and self.tokens == 3:
                raise LookupError("no such state")

    return Failing


@pytest.mark.parametrize("method", ["allowed", "accept"])
def test_an_error_in_a_constraint_fails_its_request_alone(any_loaded: LoadedModel, ask: Ask, method: str) -> None:
    others = [ask(seed=3, logprobs=2), ask(seed=4, logprobs=2, constraint=TakingTurns)]
    expected = [run(Engine(any_loaded, slots=1), [request])[0] for request in others]
    engine = Engine(any_loaded, slots=3)

    broken, *answers = run(engine, [ask(constraint=failing(method), logit_bias={0: -100.0}), *others])

    assert isinstance(broken.error, LookupError)
    assert len(broken.tokens) == 2
    assert_same(answers, expected)
    assert engine.stats().tokens_reserved == 0


@pytest.mark.parametrize("mask", [np.ones(VOCABULARY - 1, np.bool_), np.ones((2, VOCABULARY), np.bool_)], ids=str)
def test_a_mask_of_the_wrong_size_fails_its_request_alone(
    any_loaded: LoadedModel, ask: Ask, mask: NDArray[np.bool_]
) -> None:
    other = ask(seed=3, logprobs=2)
    [expected] = run(Engine(any_loaded, slots=1), [other])
    wrong = Free()
    wrong.allowed = lambda: mask

    broken, answer = run(Engine(any_loaded, slots=2), [ask(constraint=lambda: wrong), other])

    assert broken.error is not None
    assert broken.tokens == []
    assert_same([answer], [expected])


def test_the_mask_is_computed_on_a_thread_of_its_own_while_the_model_computes(
    loaded: LoadedModel, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each waits for the other: one after the other they would wait in vain.
    meeting = threading.Barrier(2)
    threads: dict[str, set[str]] = {"allowed": set(), "accept": set(), "forward": set()}

    class Meeting(Free):
        def allowed(self) -> None:
            threads["allowed"].add(threading.current_thread().name)
            meeting.wait(timeout=WAIT)

        def accept(self, token: int) -> None:
            threads["accept"].add(threading.current_thread().name)

    forward = Gpt2.forward

    def meet(model: Gpt2, *arguments: Any) -> Any:
        threads["forward"].add(threading.current_thread().name)
        meeting.wait(timeout=WAIT)
        return forward(model, *arguments)

    monkeypatch.setattr(Gpt2, "forward", meet)
    engine = Engine(loaded, slots=1)
    engine.start()

    future = engine.submit(ask(constraint=Meeting, max_tokens=5, logit_bias={0: -100.0}), lambda _: None)

    assert future.result(timeout=WAIT).tokens == 5
    engine.stop()
    assert threads["forward"] == threads["accept"] == {"engine"}
    [mask_thread] = threads["allowed"]
    assert mask_thread.startswith("constraints")


def test_a_constraint_is_asked_once_for_each_token_and_not_while_its_prompt_is_run(
    loaded: LoadedModel, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.engine.running_batch.PROMPT_TOKENS", 2)
    calls: list[str] = []
    recording = Free()
    recording.allowed = lambda: calls.append("allowed")
    recording.accept = lambda token: calls.append("accept")

    run(
        Engine(loaded, slots=1), [ask("song of stone\n", constraint=lambda: recording, max_tokens=3, min_tokens=3)]
    )

    assert calls == ["allowed", "accept"] * 3
