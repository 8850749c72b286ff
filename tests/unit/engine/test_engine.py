"""Who runs when, what is counted, and the engine's thread: its start, its stop, and its death."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import NoReturn

import pytest
from torch import Tensor

from tests.unit.engine.asking import WAIT, finish, run, submit
from worker.engine import Engine, EngineCancelled, EngineDead, EngineStopped, Finished, Request, Sampling
from worker.engine.backends.native import NativeBackend
from worker.engine.batcher import Batcher
from worker.engine.gpt2 import Gpt2
from worker.engine.loading import LoadedModel
from worker.engine.sampler import Row

LONG = tuple((i * 37 + 11) % 400 for i in range(70))

Ask = Callable[..., Request]


def test_more_requests_than_slots_wait_their_turn(loaded: LoadedModel, ask: Ask) -> None:
    engine = Engine(loaded, slots=2)
    answers = [submit(engine, ask(max_tokens=4, logit_bias={0: -100.0})) for _ in range(5)]
    assert (engine.running(), engine.waiting()) == (0, 5)

    engine.step()

    assert (engine.running(), engine.waiting()) == (2, 3)
    finish(engine, answers)
    assert (engine.running(), engine.waiting(), engine.stats().tokens_decoded) == (0, 0, 20)


def test_the_token_budget_bounds_what_runs_at_once(loaded: LoadedModel, ask: Ask) -> None:
    engine = Engine(loaded, slots=8, kv_tokens=130)  # eight blocks of 16
    for seed in range(4):
        submit(engine, ask("a", seed=seed, max_tokens=40))  # three blocks each

    engine.step()

    assert (engine.running(), engine.waiting()) == (2, 2)
    assert (engine.stats().tokens_reserved, engine.stats().token_budget) == (96, 128)


def test_without_a_budget_every_slot_has_memory_for_a_full_context(engine: Engine) -> None:
    for first in range(8):
        submit(engine, Request((first, *LONG[1:]), Sampling(seed=1, max_tokens=58)))

    engine.step()
    engine.step()
    engine.step()

    assert (engine.running(), engine.waiting()) == (8, 0)
    assert engine.stats().tokens_reserved == engine.stats().token_budget == 8 * 128


@pytest.mark.parametrize("kv_tokens", [1, 16, 31])
def test_there_is_memory_for_at_least_a_block(loaded: LoadedModel, kv_tokens: int) -> None:
    engine = Engine(loaded, slots=1, kv_tokens=kv_tokens)

    [answer] = run(engine, [Request((5, 6), Sampling(seed=1, max_tokens=14, min_tokens=14))])

    assert (answer.finished.tokens, engine.stats().token_budget) == (14, 16)


def test_a_request_that_could_never_run_is_refused_at_once(loaded: LoadedModel, ask: Ask) -> None:
    engine = Engine(loaded, slots=8, kv_tokens=64)

    with pytest.raises(ValueError, match="exceed the engine's budget of 64"):
        engine.submit(ask("a", max_tokens=64), lambda _: None)
    with pytest.raises(ValueError, match="exceed the context of 128"):
        engine.submit(ask("a", max_tokens=128), lambda _: None)
    assert engine.waiting() == 0


def test_a_step_runs_a_bounded_number_of_prompt_tokens(engine: Engine) -> None:
    for first in range(8):
        submit(engine, Request((first, *LONG[1:]), Sampling(seed=1, max_tokens=20)))

    engine.step()

    assert engine.stats().tokens_prefilled == 256
    assert engine.stats().tokens_decoded == 3


def test_prompts_do_not_hold_up_running_texts(engine: Engine, ask: Ask) -> None:
    runs = submit(engine, ask(max_tokens=20, logit_bias={0: -100.0}))
    engine.step()
    for first in range(12):
        submit(engine, Request((first, *LONG[1:]), Sampling(seed=1, max_tokens=20)))

    for _ in range(5):
        engine.step()

    assert len(runs.tokens) == 6


def test_steps_and_tokens_are_counted_by_kind(engine: Engine, ask: Ask) -> None:
    short = ask(max_tokens=5, logit_bias={0: -100.0})

    run(engine, [short])

    stats = engine.stats()
    assert (stats.steps, stats.tokens_prefilled, stats.tokens_decoded) == (5, len(short.prompt), 5)
    assert stats.prefill_seconds > 0
    assert stats.decode_seconds > 0
    assert (stats.evictions, stats.tokens_shared, stats.tokens_reserved) == (0, 0, 0)


def test_time_is_counted_for_what_was_run(engine: Engine) -> None:
    submit(engine, Request(LONG, Sampling(seed=1, max_tokens=5, min_tokens=5)))

    engine.step()
    prompt = engine.stats()
    engine.step()
    both = engine.stats()

    assert prompt.prefill_seconds > 0 == prompt.decode_seconds
    assert both.prefill_seconds == prompt.prefill_seconds
    assert both.decode_seconds > 0


def test_what_an_evicted_text_computes_again_counts_as_prefilled(engine: Engine) -> None:
    answer = submit(engine, Request(LONG, Sampling(seed=1, max_tokens=25, min_tokens=25)))
    for _ in range(15):
        engine.step()
    before = engine.stats()

    engine.evict(answer.future)
    engine.step()

    # Of its 85 tokens 80 are in full blocks, and those are found.
    after = engine.stats()
    assert after.evictions == 1
    assert after.tokens_shared - before.tokens_shared == 80
    assert after.tokens_prefilled - before.tokens_prefilled == 5
    assert after.decode_seconds == before.decode_seconds
    assert after.prefill_seconds > before.prefill_seconds


def test_scopes_keep_equal_prompts_apart(engine: Engine) -> None:
    sampling = Sampling(seed=1, max_tokens=3)

    run(engine, [Request(LONG, sampling, scope=scope) for scope in ("ours", "theirs", "ours")])

    assert engine.stats().tokens_shared == 64


def test_the_thread_runs_requests_from_many_threads(loaded: LoadedModel, ask: Ask) -> None:
    expected = [answer.text for answer in run(Engine(loaded, slots=8), [ask(seed=s) for s in range(12)])]
    engine, texts = Engine(loaded, slots=5), [[] for _ in range(12)]
    futures: dict[int, Future[Finished]] = {}
    engine.start()

    def call(seed: int) -> None:
        futures[seed] = engine.submit(ask(seed=seed), lambda delta: texts[seed].append(delta.text))
        futures[seed].result(timeout=WAIT)

    threads = [threading.Thread(target=call, args=(seed,)) for seed in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=WAIT)
    engine.stop()

    assert ["".join(text) for text in texts] == expected


def test_a_cancel_reaches_the_thread(engine: Engine, ask: Ask) -> None:
    started, cancelled = threading.Event(), threading.Event()

    def on_delta(_: object) -> None:
        started.set()
        cancelled.wait(timeout=WAIT)

    engine.start()
    future = engine.submit(ask(max_tokens=100, min_tokens=100), on_delta)
    assert started.wait(timeout=WAIT)

    engine.cancel(future)
    cancelled.set()

    assert isinstance(future.exception(timeout=WAIT), EngineCancelled)
    engine.stop()


def test_an_eviction_reaches_the_thread(loaded: LoadedModel, ask: Ask) -> None:
    engine = Engine(loaded, slots=1)
    started, evicted = threading.Event(), threading.Event()

    def on_delta(_: object) -> None:
        started.set()
        evicted.wait(timeout=WAIT)

    engine.start()
    first = engine.submit(ask(max_tokens=100, min_tokens=100), on_delta)
    assert started.wait(timeout=WAIT)
    second = engine.submit(ask(max_tokens=5, min_tokens=5), lambda _: done_before.append(first.done()))
    done_before: list[bool] = []

    engine.evict(first)
    evicted.set()

    assert second.result(timeout=WAIT).tokens == 5
    assert first.result(timeout=WAIT).tokens == 100
    engine.stop()
    assert done_before == [False] * 5
    assert engine.stats().evictions == 1


def test_the_load_is_read_without_looking_at_what_the_thread_changes(
    loaded: LoadedModel, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(loaded, slots=1)
    for _ in range(3):
        submit(engine, ask())
    engine.step()

    def changed(_: object) -> NoReturn:
        raise RuntimeError("dictionary changed size during iteration")

    for name in ("running", "waiting", "__iter__"):
        monkeypatch.setattr(Batcher, name, property(changed))

    stats = engine.stats()
    assert (stats.running, stats.waiting, stats.tokens_reserved) == (1, 2, 32)


def test_stop_ends_what_is_running_and_waiting_and_refuses_more(loaded: LoadedModel, ask: Ask) -> None:
    engine = Engine(loaded, slots=1)
    answers = [submit(engine, ask()) for _ in range(2)]
    engine.step()
    answers.append(submit(engine, ask()))  # not taken by a step yet

    engine.stop()

    assert all(isinstance(answer.error, EngineStopped) for answer in answers)
    assert engine.stats().tokens_reserved == 0
    with pytest.raises(EngineStopped):
        engine.submit(ask(), lambda _: None)


def test_stop_ends_a_thread_that_sleeps(engine: Engine) -> None:
    engine.start()

    engine.stop()

    assert not engine._thread.is_alive()
    assert engine.dead is None


def test_an_error_of_the_shared_pass_ends_the_thread_fails_every_future_and_is_seen(
    loaded: LoadedModel, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    cause = RuntimeError("the device is gone")

    def fail(*_: object) -> NoReturn:
        raise cause

    monkeypatch.setattr(Gpt2, "forward", fail)
    engine = Engine(loaded, slots=1)
    futures = [engine.submit(ask(), lambda _: None) for _ in range(2)]  # one will run, one waits
    engine.start()

    errors = [future.exception(timeout=WAIT) for future in futures]

    assert [type(error) for error in errors] == [EngineDead, EngineDead]
    assert all(error.__cause__ is cause for error in errors)
    assert engine.dead is cause
    with pytest.raises(EngineDead):
        engine.submit(ask(), lambda _: None)
    engine.stop()
    assert engine.stats().tokens_reserved == 0


def test_an_error_in_every_row_of_a_draw_is_no_rows_fault_and_ends_the_thread(
    loaded: LoadedModel, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(backend: NativeBackend, logits: Tensor, rows: Sequence[Row], end_ids: frozenset[int]) -> NoReturn:
        raise MemoryError(f"no room for {len(rows)} rows")

    monkeypatch.setattr(NativeBackend, "draw", fail)
    engine = Engine(loaded, slots=2)
    futures = [engine.submit(ask(seed=seed), lambda _: None) for seed in range(2)]
    engine.start()

    errors = [future.exception(timeout=WAIT) for future in futures]

    engine.stop()
    assert [type(error) for error in errors] == [EngineDead, EngineDead]
    assert str(engine.dead) == "no room for 2 rows"
