import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import GPT2LMHeadModel

from worker.engine import (
    Delta,
    Engine,
    EngineCancelled,
    EngineDead,
    EngineStopped,
    Finished,
    Request,
    Sampling,
)
from worker.engine.gpt2 import Gpt2
from worker.engine.kv_cache import KvCache
from worker.engine.loading import LoadedModel
from worker.engine.sampler import Drawn, Row, draw
from worker.engine.tokenizer import REPLACEMENT

WAIT = 60  # seconds; only ever reached by a fault
PROMPTS = (
    "the rose of ", "She walks", "春眠", "winter ", "a", "the sea and the moon is low and the wind ", "café", "🌹",
    "comes again, again ", "n", "song of stone\n", "night; the moon", "déjà vu ", "and", "In the", ", ",
)  # fmt: skip

Ask = Callable[..., Request]
Run = Callable[..., list[Any]]
MakeCheckpoint = Callable[..., Path]


@torch.inference_mode()
def test_greedy_texts_equal_those_of_transformers(checkpoint: Path, engine: Engine, run: Run, ask: Ask) -> None:
    reference = GPT2LMHeadModel.from_pretrained(checkpoint, dtype=torch.float32)
    requests = [ask(prompt, temperature=0, max_tokens=60) for prompt in PROMPTS]

    answers = run(engine, requests)

    for request, answer in zip(requests, answers, strict=True):
        prompt = torch.tensor([request.prompt])
        expected = reference.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            do_sample=False,
            max_new_tokens=60,
            pad_token_id=0,
        )
        assert answer.tokens == expected[0, prompt.shape[1] :].tolist()
    assert len({tuple(answer.tokens) for answer in answers}) == len(PROMPTS)


def test_a_seeded_text_is_the_same_alone_and_among_those_that_join_and_leave(
    loaded: LoadedModel, run: Run, ask: Ask
) -> None:
    mine = ask("the rose", seed=42, max_tokens=50, top_p=0.95, temperature=0.9)
    [alone] = run(Engine(loaded, slots=1), [mine])
    engine, texts = Engine(loaded, slots=4), []

    future = engine.submit(mine, lambda delta: texts.append(delta.text))
    for step in range(60):
        if step % 3 == 0:
            engine.submit(ask(PROMPTS[step % 16], seed=step, max_tokens=1 + step % 7), lambda _: None)
        engine.step()

    assert "".join(texts) == alone.text
    assert future.result(timeout=0) == alone.finished


def test_seed_sample_and_retry_each_give_another_text(engine: Engine, run: Run, ask: Ask) -> None:
    variants = ({}, {"seed": 2}, {"sample": 1}, {"retry": 1})

    answers = run(engine, [ask(**variant) for variant in variants])

    assert len({answer.text for answer in answers}) == len(variants)


RESUMED = (
    {"max_tokens": 30, "temperature": 1.2},
    {"max_tokens": 30, "stop": (" the", "is\n"), "top_k": 30},
    {"max_tokens": 20, "repetition_penalty": 1.3, "frequency_penalty": 0.5, "min_tokens": 8},
    {"max_tokens": 25, "banned": ("a", "th"), "seed": 9},
)


@pytest.mark.parametrize("sampling", RESUMED, ids=str)
def test_a_text_resumed_from_any_token_is_identical_and_delivered_once(
    loaded: LoadedModel, run: Run, ask: Ask, sampling: dict[str, object]
) -> None:
    [whole] = run(Engine(loaded, slots=8), [ask(**sampling)])
    parts = []
    for cut in range(len(whole.tokens) + 1):
        seen = whole.deltas[:cut]
        published = sum(len(delta.text) for delta in seen)
        tokens = tuple(token for delta in seen for token in delta.tokens)
        parts.append(ask(**sampling, generated=tokens, published=published))

    resumed = run(Engine(loaded, slots=8), parts)

    for part, answer in zip(parts, resumed, strict=True):
        assert [*part.generated, *answer.tokens] == whole.tokens
        assert whole.text[: part.published] + answer.text == whole.text
        assert answer.finished.reason == whole.finished.reason
        assert answer.finished.tokens == whole.finished.tokens
        assert answer.finished.mean_logprob == pytest.approx(whole.finished.mean_logprob, rel=1e-6)


def test_text_that_was_not_published_is_delivered_again(loaded: LoadedModel, run: Run, ask: Ask) -> None:
    [whole] = run(Engine(loaded, slots=1), [ask()])
    tokens = tuple(whole.tokens)

    [again] = run(Engine(loaded, slots=1), [ask(generated=tokens[:10], published=3)])

    assert whole.text[:3] + again.text == whole.text


def test_generated_tokens_that_already_hold_the_end_finish_at_once(engine: Engine, run: Run, ask: Ask) -> None:
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
    assert engine.stats().steps == 0


def test_an_end_token_is_logged_but_is_no_text(engine: Engine, run: Run, ask: Ask) -> None:
    [answer] = run(engine, [ask(logit_bias={0: 100.0})])

    assert (answer.tokens, answer.text) == ([0], "")
    assert answer.finished.reason == "stop"


def spelled(engine: Engine, text: str) -> dict[int, float]:
    """Return a bias that makes a model write nothing but the bytes of `text`, in any order."""
    return {token: 100.0 for byte in text for token in engine.tokenizer.encode(byte)}


@pytest.mark.parametrize("stop", [("ab",), ("aab", "bba"), ("ba", "abab")])
@pytest.mark.parametrize("seed", range(8))
def test_text_is_cut_before_the_first_stop_string_even_across_tokens(
    engine: Engine, run: Run, ask: Ask, stop: tuple[str, ...], seed: int
) -> None:
    fields = {"seed": seed, "logit_bias": spelled(engine, "ab"), "max_tokens": 40}
    free, stopped = run(engine, [ask(**fields), ask(**fields, stop=stop)])

    end = min(free.text.find(s) + len(s) for s in stop if s in free.text)
    cut = min(free.text.find(s) for s in stop if 0 <= free.text.find(s) <= end - len(s))
    assert stopped.text == free.text[:cut]
    assert stopped.finished == Finished("stop", stopped.finished.mean_logprob, end)


def test_text_that_could_start_a_stop_string_waits_and_is_delivered_at_the_end(
    engine: Engine, run: Run, ask: Ask
) -> None:
    fields = {"logit_bias": spelled(engine, "a"), "max_tokens": 6}

    [answer] = run(engine, [ask(**fields, stop=("aaaaaaab",))])

    assert [delta.text for delta in answer.deltas] == ["", "", "", "", "", "aaaaaa"]
    assert answer.finished.reason == "length"


def test_stop_strings_do_not_count_before_min_tokens(engine: Engine, run: Run, ask: Ask) -> None:
    fields = {"logit_bias": spelled(engine, "a"), "max_tokens": 10, "stop": ("aa",)}

    [answer] = run(engine, [ask(**fields, min_tokens=5)])

    assert answer.text == "aaa"
    assert answer.finished.tokens == 5


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**64 - 1), prompt=st.sampled_from(PROMPTS))
def test_no_delta_ever_holds_half_a_character(
    loaded: LoadedModel, run: Run, ask: Ask, seed: int, prompt: str
) -> None:
    letters = spelled(Engine(loaded, slots=1), "春🌹é")
    bias = dict.fromkeys(letters, 100.0)

    [answer] = run(Engine(loaded, slots=1), [ask(prompt, seed=seed, logit_bias=bias, max_tokens=20)])

    assert answer.text == loaded.tokenizer.decode(answer.tokens)
    for before, delta in zip(answer.deltas, answer.deltas[1:], strict=False):
        # A replacement character is only emitted once its bytes can no longer become a character.
        assert not (before.text.endswith(REPLACEMENT) and delta.text == "")


@pytest.mark.parametrize("temperature", [0.0, 1.0, 2.0])
def test_a_banned_string_is_never_written_across_tokens_either(
    engine: Engine, run: Run, ask: Ask, temperature: float
) -> None:
    bias = spelled(engine, "abc")
    fields = {"logit_bias": bias, "max_tokens": 60, "temperature": temperature}
    free = run(engine, [ask(seed=seed, **fields) for seed in range(8)])
    banned = ("ab", "cc", "ba") if temperature else (free[0].text[:3],)

    answers = run(engine, [ask(seed=seed, banned=banned, **fields) for seed in range(8)])

    assert any(string in answer.text for answer in free for string in banned)
    assert all(answer.finished.tokens == 60 for answer in answers)
    assert not any(string in answer.text for answer in answers for string in banned)


def test_a_text_that_may_write_nothing_more_ends(engine: Engine, run: Run, ask: Ask) -> None:
    texts = [engine.tokenizer.decode([token]) for token in range(400)]
    everything = tuple({*"".join(texts), REPLACEMENT})
    textless = {token for token, text in enumerate(texts) if not text}

    [answer] = run(engine, [ask(banned=everything, max_tokens=30)])

    assert answer.text == ""
    assert set(answer.tokens) <= textless


def test_logprobs_name_each_token_and_its_alternatives(engine: Engine, run: Run, ask: Ask) -> None:
    [answer] = run(engine, [ask(logprobs=3, temperature=0, max_tokens=5)])

    reports = [report for delta in answer.deltas for report in delta.logprobs]
    assert len(reports) == 5
    assert all((r.token, r.logprob) == r.top[0] and len(r.top) == 3 for r in reports)
    assert answer.finished.mean_logprob == pytest.approx(sum(r.logprob for r in reports) / 5)


def test_more_requests_than_slots_wait_their_turn(loaded: LoadedModel, run: Run, ask: Ask) -> None:
    engine = Engine(loaded, slots=2)
    futures = [engine.submit(ask(max_tokens=4), lambda _: None) for _ in range(5)]

    engine.step()

    assert (engine.running(), engine.waiting()) == (2, 3)
    run(engine, [])
    while not all(future.done() for future in futures):
        engine.step()
    assert (engine.running(), engine.waiting(), engine.stats().tokens_decoded) == (0, 0, 20)


def test_the_token_budget_bounds_what_runs_at_once(loaded: LoadedModel, ask: Ask) -> None:
    request = ask("a", max_tokens=49)
    engine = Engine(loaded, slots=8, context_tokens=120)
    for _ in range(4):
        engine.submit(request, lambda _: None)

    engine.step()

    assert (engine.running(), engine.waiting()) == (2, 2)
    assert engine.stats().tokens_reserved == 100


def test_long_prompts_are_prefilled_over_several_steps(loaded: LoadedModel) -> None:
    engine = Engine(loaded, slots=8)
    request = Request(prompt=(5,) * 101, sampling=Sampling(seed=1, max_tokens=20))
    for _ in range(8):
        engine.submit(request, lambda _: None)

    engine.step()

    assert (engine.running(), engine.stats().tokens_prefilled) == (3, 300)


def test_a_cancelled_request_frees_its_slot_and_tokens_at_the_next_step(engine: Engine, ask: Ask) -> None:
    futures = [engine.submit(ask(seed=seed), lambda _: None) for seed in range(3)]
    engine.step()

    engine.cancel(futures[0])
    engine.step()

    assert isinstance(futures[0].exception(timeout=0), EngineCancelled)
    assert engine.running() == 2
    assert engine.stats().tokens_reserved == sum([len(ask().prompt) + 24] * 2)


def test_a_cancelled_request_harms_no_neighbour(loaded: LoadedModel, run: Run, ask: Ask) -> None:
    alone = [run(Engine(loaded, slots=1), [ask(seed=seed)])[0].text for seed in range(4)]
    engine, texts = Engine(loaded, slots=4), [[] for _ in range(4)]
    futures = [
        engine.submit(ask(seed=seed), lambda delta, to=texts[seed]: to.append(delta.text)) for seed in range(4)
    ]

    for step in range(40):
        if step == 5:
            engine.cancel(futures[1])
        engine.step()

    assert ["".join(texts[seed]) for seed in (0, 2, 3)] == [alone[seed] for seed in (0, 2, 3)]


def test_a_waiting_request_can_be_cancelled(loaded: LoadedModel, ask: Ask) -> None:
    engine = Engine(loaded, slots=1)
    _, waits = (engine.submit(ask(seed=seed), lambda _: None) for seed in range(2))
    engine.step()

    engine.cancel(waits)
    engine.step()

    assert isinstance(waits.exception(timeout=0), EngineCancelled)
    assert (engine.running(), engine.waiting()) == (1, 0)


def test_a_callback_that_fails_harms_no_neighbour(loaded: LoadedModel, run: Run, ask: Ask) -> None:
    [alone] = run(Engine(loaded, slots=1), [ask(seed=3)])
    engine, texts = Engine(loaded, slots=4), []

    def fail(delta: Delta) -> None:
        raise KeyError("no such reader")

    broken = [engine.submit(ask(seed=seed), fail) for seed in range(2)]
    sound = engine.submit(ask(seed=3), lambda delta: texts.append(delta.text))
    for _ in range(40):
        engine.step()

    assert all(isinstance(future.exception(timeout=0), KeyError) for future in broken)
    assert sound.done()
    assert "".join(texts) == alone.text
    assert engine.stats().tokens_reserved == 0


def test_an_error_at_admission_fails_that_request_alone(
    loaded: LoadedModel, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(loaded, slots=4)
    prefill = type(loaded.model).prefill

    def out_of_memory(model: Gpt2, cache: KvCache, slot: int, start: int, ids: list[int]) -> Tensor:
        if len(ids) > 30:
            raise MemoryError("no room for this prompt")
        return prefill(model, cache, slot, start, ids)

    monkeypatch.setattr(type(loaded.model), "prefill", out_of_memory)
    broken = engine.submit(Request((5,) * 40, Sampling(seed=1, max_tokens=8)), lambda _: None)
    sound = engine.submit(ask(max_tokens=8), lambda _: None)
    for _ in range(10):
        engine.step()

    assert isinstance(broken.exception(timeout=0), MemoryError)
    assert sound.result(timeout=0).reason == "length"


def test_logits_that_are_not_numbers_fail_their_row_and_leave_a_clean_slot(
    loaded: LoadedModel, run: Run, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    [alone] = run(Engine(loaded, slots=1), [ask(seed=3)])
    engine, texts = Engine(loaded, slots=2), []
    broken = engine.submit(ask(seed=1), lambda _: None)
    engine.step()
    for layer in engine._batch._cache.values:
        layer[0] = torch.nan

    sound = engine.submit(ask(seed=3), lambda delta: texts.append(delta.text))
    for _ in range(40):
        engine.step()

    assert isinstance(broken.exception(timeout=0), ArithmeticError)
    assert sound.done()
    assert "".join(texts) == alone.text


def test_the_thread_runs_requests_from_many_threads(loaded: LoadedModel, run: Run, ask: Ask) -> None:
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


def test_an_idle_thread_notices_a_cancel(engine: Engine, ask: Ask) -> None:
    started = threading.Event()
    engine.start()
    future = engine.submit(ask(max_tokens=100), lambda _: started.set())
    assert started.wait(timeout=WAIT)

    engine.cancel(future)

    error = future.exception(timeout=WAIT)
    engine.stop()
    assert error is None or isinstance(error, EngineCancelled)


def test_stop_ends_what_is_running_and_waiting_and_refuses_more(loaded: LoadedModel, ask: Ask) -> None:
    engine = Engine(loaded, slots=1)
    futures = [engine.submit(ask(), lambda _: None) for _ in range(3)]
    engine.step()

    engine.stop()

    assert all(isinstance(future.exception(timeout=0), EngineStopped) for future in futures)
    with pytest.raises(EngineStopped):
        engine.submit(ask(), lambda _: None)


def test_a_dead_thread_fails_every_future_and_is_seen(
    loaded: LoadedModel, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(loaded, slots=1)
    cause = RuntimeError("the device is gone")

    def fail(*_: object) -> None:
        raise cause

    monkeypatch.setattr(engine._batch, "admit", fail)
    futures = [engine.submit(ask(), lambda _: None) for _ in range(2)]
    engine.start()

    errors = [future.exception(timeout=WAIT) for future in futures]

    assert all(isinstance(error, EngineDead) and error.__cause__ is cause for error in errors)
    assert engine.dead is cause
    with pytest.raises(EngineDead):
        engine.submit(ask(), lambda _: None)
    engine.stop()


def test_a_row_that_cannot_be_drawn_fails_alone(
    loaded: LoadedModel, run: Run, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    [alone] = run(Engine(loaded, slots=1), [ask(seed=3)])
    engine, texts = Engine(loaded, slots=2), []

    def fail_on_seed_1(logits: Tensor, rows: list[Row], end_ids: frozenset[int]) -> list[Drawn]:
        if any(row.sampling.seed == 1 for row in rows):
            raise IndexError("a poisonous row")
        return draw(logits, rows, end_ids)

    monkeypatch.setattr("worker.engine.running_batch.draw", fail_on_seed_1)
    poison = engine.submit(ask(seed=1), lambda _: None)
    sound = engine.submit(ask(seed=3), lambda delta: texts.append(delta.text))
    engine.start()

    assert isinstance(poison.exception(timeout=WAIT), IndexError)
    sound.result(timeout=WAIT)
    engine.stop()
    assert "".join(texts) == alone.text
    assert engine.dead is None


def test_a_text_with_a_banned_letter_goes_on_without_it(run: Run, engine: Engine, ask: Ask) -> None:
    answers = run(engine, [ask(seed=seed, banned=(" ", "e"), min_tokens=30, max_tokens=30) for seed in range(8)])

    assert [len(answer.tokens) for answer in answers] == [30] * 8
    assert not any(letter in answer.text for answer in answers for letter in " e")


def test_what_looks_like_a_special_token_is_text(engine: Engine) -> None:
    text = "before <|endoftext|> after"

    ids = engine.tokenizer.encode(text)

    assert not set(ids) & engine.tokenizer.end_ids
    assert engine.tokenizer.decode(ids) == text


def test_an_error_of_the_shared_step_ends_the_thread(
    loaded: LoadedModel, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(loaded, slots=1)

    def fail() -> None:
        raise RuntimeError("the device is out of memory")

    monkeypatch.setattr(engine._batch, "decode", fail)
    running, waiting = (engine.submit(ask(), lambda _: None) for _ in range(2))
    engine.start()

    errors = [future.exception(timeout=WAIT) for future in (running, waiting)]

    engine.stop()
    assert [type(error) for error in errors] == [EngineDead, EngineDead]


def test_a_chinese_word_piece_model_loads_and_writes_text_without_spaces(
    make_checkpoint: MakeCheckpoint, word_piece_folder: Path, run: Run
) -> None:
    folder = make_checkpoint(vocab_size=64, eos_token_id=50256, bos_token_id=50256)
    for file in word_piece_folder.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    engine = Engine.load(str(folder), slots=2, device="cpu")
    characters = {engine.tokenizer.encode(c)[0]: 100.0 for c in "春眠不觉晓"}

    [answer] = run(
        engine,
        [
            Request(
                tuple(engine.tokenizer.encode("处处闻啼鸟")),
                Sampling(seed=1, max_tokens=20, logit_bias=characters),
            )
        ],
    )

    assert len(answer.text) == 20
    assert set(answer.text) <= set("春眠不觉晓")
