"""The sequences of one job: run together, cancelled together."""

from collections.abc import Callable
from concurrent.futures import Future

import pytest

from tests.unit.worker.fakes import FakeEngine, byte_ids
from tests.waiting import in_background, until
from worker.engine import Delta, EngineCancelled, Finished, Request, Sampling
from worker.sequences import Sequences


def plan(*draws: int, generated: str = "") -> dict[int, Request]:
    return {
        draw: Request(byte_ids("Once"), Sampling(seed=1, sample=draw), generated=byte_ids(generated))
        for draw in draws
    }


def ignore(draw: int, delta: Delta) -> None:
    """For tests to which the text does not matter."""


def test_all_draws_run_at_once() -> None:
    engine = FakeEngine(waits=True)
    run = Sequences(engine).run(plan(0, 1, 2), ignore)

    first = in_background(next, run)
    until(lambda: len(engine.sequences) == 3)
    engine.finish(engine.sequences[0])
    first.result(timeout=20)


def test_each_draw_is_given_back_with_how_it_ended() -> None:
    engine = FakeEngine(score=lambda request: -float(request.sampling.sample))

    ended = list(Sequences(engine).run(plan(0, 2), ignore))

    assert [(draw, finished.mean_logprob) for draw, finished in ended] == [(0, 0.0), (2, -2.0)]


def test_text_is_handed_on_with_its_draw() -> None:
    heard = []
    engine = FakeEngine(lambda request: f"text {request.sampling.sample}")

    list(Sequences(engine).run(plan(0, 1), lambda draw, delta: heard.append((draw, delta.text))))

    assert heard == [(0, "text 0"), (1, "text 1")]


def test_an_empty_plan_ends_at_once() -> None:
    assert list(Sequences(FakeEngine()).run({}, ignore)) == []


def test_the_work_is_what_was_prefilled_and_what_was_drawn() -> None:
    sequences = Sequences(FakeEngine(lambda _: "Hello"))

    list(sequences.run(plan(0, 1, generated="He"), ignore))

    assert sequences.work == 2 * (len("Once") + len("Hello"))


def test_cancelled_before_it_runs_it_does_not_run() -> None:
    engine = FakeEngine()
    sequences = Sequences(engine)

    sequences.cancel()

    with pytest.raises(EngineCancelled):
        list(sequences.run(plan(0), ignore))
    assert engine.sequences == []


def test_cancelled_while_it_runs_every_draw_is_cancelled() -> None:
    engine = FakeEngine(waits=True)
    sequences = Sequences(engine)

    running = in_background(list, sequences.run(plan(0, 1), ignore))
    until(lambda: len(engine.sequences) == 2)
    sequences.cancel()
    with pytest.raises(EngineCancelled):
        running.result(timeout=20)

    assert engine.cancelled == [0, 1]


def test_cancelled_after_its_end_nothing_is_cancelled() -> None:
    engine = FakeEngine()
    sequences = Sequences(engine)
    list(sequences.run(plan(0), ignore))

    sequences.cancel()

    assert engine.cancelled == []


def test_when_one_draw_fails_the_others_are_cancelled() -> None:
    engine = FakeEngine(lambda _: RuntimeError("out of memory"), waits=True)
    run = Sequences(engine).run(plan(0, 1), ignore)

    running = in_background(list, run)
    until(lambda: len(engine.sequences) == 2)
    engine.finish(engine.sequences[0])
    with pytest.raises(RuntimeError, match="out of memory"):
        running.result(timeout=20)

    assert engine.cancelled == [1]


def test_when_one_draw_is_refused_those_before_it_are_cancelled() -> None:
    class Picky(FakeEngine):
        def submit(self, request: Request, on_delta: Callable[[Delta], None]) -> Future[Finished]:
            if request.sampling.sample == 1:
                raise ValueError("no room")
            return super().submit(request, on_delta)

    engine = Picky(waits=True)

    with pytest.raises(ValueError, match="no room"):
        list(Sequences(engine).run(plan(0, 1), ignore))

    assert engine.cancelled == [0]
