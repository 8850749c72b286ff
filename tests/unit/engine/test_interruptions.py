"""What ends one request before its time touches no other, and frees its memory at the next step."""

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from tests.unit.engine.asking import Answer, assert_same, finish, run, submit
from worker.engine import Delta, Engine, EngineCancelled, EngineExpired, Request, Sampling
from worker.engine.backends.native import NativeBackend
from worker.engine.loading import LoadedModel
from worker.engine.sampler import Drawn, Row

LONG = tuple((i * 37 + 11) % 400 for i in range(70))

Ask = Callable[..., Request]


class Clock:
    """Stands for the module `time` in the engine."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("worker.engine.engine.time", clock)
    return clock


@pytest.fixture
def neighbours(ask: Ask) -> list[Request]:
    return [ask(seed=10, logprobs=2), Request(LONG, Sampling(seed=11, max_tokens=30, logprobs=2))]


@pytest.fixture
def unharmed(loaded: LoadedModel, neighbours: list[Request]) -> Callable[[Engine, Sequence[Answer]], None]:
    """Return a check that the neighbours got what they get alone, and that nothing is left in the engine."""
    alone = [run(Engine(loaded, slots=1), [request])[0] for request in neighbours]

    def check(engine: Engine, answers: Sequence[Answer]) -> None:
        assert_same(answers, alone)
        stats = engine.stats()
        assert (stats.running, stats.waiting, stats.tokens_reserved) == (0, 0, 0)

    return check


Unharmed = Callable[[Engine, Sequence[Answer]], None]


def test_a_cancelled_request_frees_its_slot_and_tokens_at_the_next_step(engine: Engine, ask: Ask) -> None:
    answers = [submit(engine, ask(seed=seed)) for seed in range(3)]  # 32 tokens each at most
    engine.step()
    assert engine.stats().tokens_reserved == 3 * 32

    engine.cancel(answers[0].future)
    engine.step()

    assert isinstance(answers[0].error, EngineCancelled)
    assert engine.running() == 2
    assert engine.stats().tokens_reserved == 2 * 32


@pytest.mark.parametrize("steps", [0, 1, 5])
def test_a_cancelled_request_harms_no_neighbour(
    engine: Engine, ask: Ask, neighbours: list[Request], unharmed: Unharmed, steps: int
) -> None:
    gone = submit(engine, ask())
    answers = [submit(engine, request) for request in neighbours]
    for _ in range(steps):
        engine.step()

    engine.cancel(gone.future)
    finish(engine, answers)

    assert isinstance(gone.error, EngineCancelled)
    assert len(gone.tokens) == steps
    unharmed(engine, answers)


def test_a_request_in_the_middle_of_its_prompt_is_cancelled_though_others_share_it(
    loaded: LoadedModel, neighbours: list[Request], unharmed: Unharmed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.engine.running_batch.PROMPT_TOKENS", 20)
    engine = Engine(loaded, slots=4)
    leader = submit(engine, Request(LONG, Sampling(seed=1, max_tokens=8)))
    answers = [submit(engine, request) for request in neighbours]  # the second follows the leader
    for _ in range(3):
        engine.step()

    engine.cancel(leader.future)
    finish(engine, answers)

    assert leader.tokens == []
    unharmed(engine, answers)


def test_a_waiting_request_can_be_cancelled(loaded: LoadedModel, ask: Ask) -> None:
    engine = Engine(loaded, slots=1)
    _, waits = (submit(engine, ask(seed=seed)) for seed in range(2))
    engine.step()

    engine.cancel(waits.future)
    engine.step()

    assert isinstance(waits.error, EngineCancelled)
    assert (engine.running(), engine.waiting()) == (1, 0)


def test_cancelling_a_finished_request_does_nothing(engine: Engine, ask: Ask) -> None:
    [answer] = run(engine, [ask(max_tokens=2)])

    engine.cancel(answer.future)
    engine.step()

    assert answer.finished.tokens == 2


def test_a_request_ends_at_its_deadline_and_not_before(engine: Engine, ask: Ask, clock: Clock) -> None:
    answer = submit(engine, ask(deadline=105.0))
    for now in (100.0, 104.999, 105.0):
        assert not answer.future.done()
        clock.now = now
        engine.step()

    assert isinstance(answer.error, EngineExpired)
    assert len(answer.tokens) == 2
    assert engine.stats().tokens_reserved == 0


def test_a_deadline_also_ends_a_request_that_waits(loaded: LoadedModel, ask: Ask, clock: Clock) -> None:
    engine = Engine(loaded, slots=1)
    runs, waits = submit(engine, ask()), submit(engine, ask(deadline=105.0))
    engine.step()

    clock.now = 106.0
    engine.step()

    assert isinstance(waits.error, EngineExpired)
    assert not runs.future.done()


def test_a_request_whose_deadline_has_passed_already_is_not_run(engine: Engine, ask: Ask, clock: Clock) -> None:
    [answer] = run(engine, [ask(deadline=99.0)])

    assert isinstance(answer.error, EngineExpired)
    assert engine.stats().steps == 0


def test_a_deadline_harms_no_neighbour(
    engine: Engine, ask: Ask, clock: Clock, neighbours: list[Request], unharmed: Unharmed
) -> None:
    late = submit(engine, ask(deadline=105.0))
    answers = [submit(engine, request) for request in neighbours]

    finish(engine, answers, lambda step: setattr(clock, "now", 100.0 + step))

    assert isinstance(late.error, EngineExpired)
    assert len(late.tokens) == 5
    unharmed(engine, answers)


def test_a_callback_that_fails_harms_no_neighbour(
    engine: Engine, ask: Ask, neighbours: list[Request], unharmed: Unharmed
) -> None:
    def fail(delta: Delta) -> None:
        raise KeyError("no such reader")

    broken = [engine.submit(ask(seed=seed), fail) for seed in range(2)]
    answers = run(engine, neighbours)

    assert all(isinstance(future.exception(timeout=0), KeyError) for future in broken)
    unharmed(engine, answers)


def test_a_callback_that_fails_on_a_text_that_has_ended_already_fails_that_one(engine: Engine, ask: Ask) -> None:
    def fail(delta: Delta) -> None:
        raise KeyError("no such reader")

    broken = engine.submit(ask(generated=(0,)), fail)
    engine.step()

    assert isinstance(broken.exception(timeout=0), KeyError)


def test_a_row_that_cannot_be_drawn_fails_alone(
    engine: Engine, ask: Ask, neighbours: list[Request], unharmed: Unharmed, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = NativeBackend.draw

    def fail_on_seed_1(
        backend: NativeBackend, logits: Tensor, rows: Sequence[Row], end_ids: frozenset[int]
    ) -> Callable[[], list[Drawn]]:
        if any(row.sampling.seed == 1 and row.position == 3 for row in rows):
            raise IndexError("a poisonous row")
        return draw(backend, logits, rows, end_ids)

    monkeypatch.setattr(NativeBackend, "draw", fail_on_seed_1)
    poison = submit(engine, ask(seed=1))
    answers = run(engine, neighbours)

    assert isinstance(poison.error, IndexError)
    assert len(poison.tokens) == 3
    unharmed(engine, answers)


def test_logits_that_are_not_numbers_fail_their_row_alone(
    engine: Engine, ask: Ask, neighbours: list[Request], unharmed: Unharmed
) -> None:
    broken = submit(engine, ask(seed=1))
    answers = [submit(engine, request) for request in neighbours]
    for _ in range(2):
        engine.step()
    for keys, _ in engine._batch._cache._layers:
        keys.view(engine._batch.batcher.blocks.count, -1)[first_block(engine)] = torch.nan

    finish(engine, answers)

    assert isinstance(broken.error, ArithmeticError)
    unharmed(engine, answers)


def first_block(engine: Engine) -> int:
    """Return the first block of the text that was admitted first."""
    batcher = engine._batch.batcher
    return next(iter(batcher._running.values())).blocks[0]


def test_an_evicted_request_makes_room_for_those_that_wait(loaded: LoadedModel, ask: Ask) -> None:
    engine = Engine(loaded, slots=1)
    first, second, third = (submit(engine, ask(seed=seed, max_tokens=5)) for seed in range(3))
    for _ in range(2):
        engine.step()

    engine.evict(first.future)
    finish(engine, [second])

    assert (len(first.tokens), third.tokens, engine.waiting()) == (2, [], 2)
    finish(engine, [third])
    assert len(first.tokens) == 2
    finish(engine, [first])
    assert [engine.stats().evictions, engine.stats().tokens_reserved] == [1, 0]
    assert_same(
        [first, second, third], run(Engine(loaded, slots=3), [ask(seed=s, max_tokens=5) for s in range(3)])
    )


def test_evicting_a_request_that_waits_or_is_done_does_nothing(loaded: LoadedModel, ask: Ask) -> None:
    engine = Engine(loaded, slots=1)
    done = run(engine, [ask(max_tokens=1)])[0]
    first, second, third = (submit(engine, ask(seed=seed, max_tokens=3)) for seed in range(3))
    engine.step()

    for answer in (second, done):
        engine.evict(answer.future)
    finish(engine, [second])

    assert third.tokens == []  # it did not get before the second
    assert (engine.stats().evictions, first.finished.tokens) == (0, 3)


def test_an_evicted_request_can_be_cancelled_and_expires(loaded: LoadedModel, ask: Ask, clock: Clock) -> None:
    engine = Engine(loaded, slots=2)
    cancelled, late = submit(engine, ask(seed=1)), submit(engine, ask(seed=2, deadline=105.0))
    others = [submit(engine, ask(seed=seed, max_tokens=100)) for seed in range(3, 5)]
    engine.step()
    for answer in (cancelled, late):
        engine.evict(answer.future)
    engine.step()
    assert [answer.tokens != [] for answer in others] == [True, True]

    engine.cancel(cancelled.future)
    clock.now = 105.0
    engine.step()

    assert isinstance(cancelled.error, EngineCancelled)
    assert isinstance(late.error, EngineExpired)
    assert (engine.running(), engine.waiting()) == (2, 0)
