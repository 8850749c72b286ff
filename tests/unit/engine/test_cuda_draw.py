from tests.unit.engine.interpreted import gpu_backend  # first: it skips where Triton cannot run

# isort: split

import math
import random
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from tests.unit.engine.any_rows import END, any_row, assert_same, logits_of, row
from worker.engine import sampler
from worker.engine.backends.cuda import CudaBackend
from worker.engine.backends.gpu import draw as device_draw
from worker.engine.backends.gpu import pick
from worker.engine.request import Sampling
from worker.engine.sampler import Drawn, Row


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("vocabulary", [33, 700, 3000])
@pytest.mark.parametrize("seed", range(3))
def test_any_rows_draw_the_tokens_of_the_definition(seed: int, vocabulary: int, *, ties: bool) -> None:
    rng = random.Random(f"{seed} {vocabulary} {ties}")
    rows = [any_row(rng, 3 * i, vocabulary) for i in range(10)]
    logits = logits_of(len(rows), vocabulary, seed=seed, scale=rng.choice([0.01, 1.0, 3.0, 10.0]))
    logits = torch.round(logits * 2) / 2 if ties else logits
    before = logits.clone()

    found = gpu_backend().draw(logits, rows, END)()

    assert_same(found, sampler.draw(logits, rows, END))
    assert torch.equal(logits, before)


def test_a_vocabulary_of_many_tiles_is_searched_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pick, "TILE", 16)
    rng = random.Random(11)
    rows = [any_row(rng, i, 333) for i in range(12)]
    logits = logits_of(len(rows), 333)

    assert_same(gpu_backend().draw(logits, rows, END)(), sampler.draw(logits, rows, END))


@pytest.mark.parametrize("number", [0.0, 0.5, 1 - 2.0**-53])
@pytest.mark.parametrize("sampling", [{}, {"top_k": 4}, {"top_p": 0.6}, {"min_p": 0.3}], ids=str)
def test_the_first_and_the_last_number_draw_tokens_that_are_kept(
    number: float, sampling: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampler, "uniforms_of", lambda rows: np.full(len(rows), number))
    monkeypatch.setattr(device_draw.Slots, "uniforms", lambda _, slots, *__: np.full(len(slots), number))
    rows, logits = [row(**sampling)], logits_of(1, 100)

    assert_same(gpu_backend().draw(logits, rows, END)(), sampler.draw(logits, rows, END))


def continued(backend: CudaBackend, known: Sequence[int], steps: int, **sampling: object) -> list[int]:
    """Draw one token after the other, each before the host knows the one before."""
    ids, waiting = list(known), []
    asked = Sampling(**{"seed": 5, "max_tokens": 100, **sampling})
    for step in range(steps):
        one = Row(asked, ids, 2, len(known) + step, slot=3)
        waiting.append(backend.draw(logits_of(1, 60, seed=step), [one], END))
        if step:
            ids.append(waiting[step - 1]()[0].token)
    return [wait()[0].token for wait in waiting]


PENALTIES = ({"repetition_penalty": 2.0}, {"frequency_penalty": 2.0}, {"presence_penalty": 3.0, "min_tokens": 4})


@pytest.mark.parametrize("sampling", PENALTIES, ids=str)
def test_penalties_count_tokens_that_the_host_does_not_know_yet(sampling: dict[str, float]) -> None:
    known = [4, 9, 4, 11]
    expected = list(known)
    for step in range(12):
        one = row(expected, prompt=2, max_tokens=100, **sampling)
        expected.append(sampler.draw(logits_of(1, 60, seed=step), [one], END)[0].token)

    assert continued(gpu_backend(), known, 12, **sampling) == expected[len(known) :]


def test_a_sequence_that_takes_over_a_slot_inherits_nothing() -> None:
    backend, sampling = gpu_backend(), {"repetition_penalty": 3.0, "temperature": 0.7}
    first = continued(backend, [4, 9], 8, **sampling)
    continued(backend, [5] * 20, 4, logit_bias={5: 9.0}, top_k=1)

    assert continued(backend, [4, 9], 8, **sampling) == first


def test_a_sequence_that_comes_back_to_its_slot_brings_what_it_wrote_elsewhere() -> None:
    backend, ids = gpu_backend(), [4, 9]
    asked = Sampling(seed=5, repetition_penalty=5.0, max_tokens=100)
    expected: list[Drawn] = []
    found: list[Drawn] = []
    for step, slot in enumerate((0, 0, 2, 2, 2, 0, 0)):
        one, logits = Row(asked, ids, 2, len(ids), slot), logits_of(1, 30, seed=step)
        expected += sampler.draw(logits, [one], END)
        found += backend.draw(logits, [one], END)()
        ids.append(expected[-1].token)

    assert_same(found, expected)


def test_a_redraw_takes_the_place_of_the_draw_before() -> None:
    backend, ids, logits = gpu_backend(), [4, 9], logits_of(1, 30)
    asked = Sampling(seed=5, frequency_penalty=50.0, temperature=0, max_tokens=100)
    [rejected] = backend.draw(logits, [Row(asked, ids, 1, 2)], END)()

    [chosen] = backend.draw(logits, [Row(asked, ids, 1, 2, masked=(rejected.token,))], END)()
    ids.append(chosen.token)
    [following] = backend.draw(logits, [Row(asked, ids, 1, 3)], END)()

    assert chosen.token != rejected.token
    # The rejected token was never written, so it is not penalised.
    assert following.token == rejected.token


def test_rows_keep_their_draws_when_others_come_and_go() -> None:
    backend, vocabulary = gpu_backend(), 50
    rng = random.Random(2)
    rows = [any_row(rng, slot, vocabulary) for slot in range(6)]
    logits = logits_of(6, vocabulary)
    alone = [sampler.draw(logits[i : i + 1], [rows[i]], END)[0] for i in range(6)]

    for present in ([0, 1, 2], [2, 1], [5, 0, 3, 4, 1, 2], [4], [1, 2, 0], [0, 1, 2]):
        found = backend.draw(logits[present], [rows[i] for i in present], END)()
        assert_same(found, [alone[i] for i in present])


def test_a_row_without_tokens_left_has_none_and_its_neighbours_have() -> None:
    nothing = np.zeros(40, np.bool_)
    rows = [row(slot=0), row(slot=1, allowed=nothing), row(slot=2, allowed=nothing, temperature=0)]
    logits = logits_of(3, 40)

    found = gpu_backend().draw(logits, rows, END)()

    assert [one.token is None for one in found] == [False, True, True]


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")  # of the interpreter's numpy
def test_logits_that_are_not_numbers_give_a_logprob_that_is_none() -> None:
    logits = logits_of(4, 40).clone()
    logits[0, 5], logits[1, 6], logits[2] = torch.nan, torch.inf, torch.nan

    found = gpu_backend().draw(logits, [row(slot=i) for i in range(4)], END)()

    assert [math.isnan(one.logprob) for one in found] == [True, True, True, False]


def test_scores_that_are_all_equal_are_all_kept() -> None:
    rows = [row([1] * (i + 1), slot=i, **{key: value}) for i, (key, value) in enumerate(
        [("top_k", 3), ("top_p", 0.1), ("min_p", 1.0), ("top_k", 1), ("top_p", 1e-9)]
    )]  # fmt: skip
    logits = torch.zeros((len(rows), 500))

    assert_same(gpu_backend().draw(logits, rows, frozenset())(), sampler.draw(logits, rows, frozenset()))


@pytest.mark.parametrize("temperature", [1e-3, 1.0, 100.0])
def test_scores_of_any_size_are_filtered(temperature: float) -> None:
    rows = [row(slot=i, temperature=temperature, top_k=20, top_p=0.95, min_p=0.01, seed=i) for i in range(6)]
    logits = logits_of(6, 200) * torch.tensor([1e-6, 1e-2, 1.0, 30.0, 1e4, 1e7])[:, None] - 500

    assert_same(gpu_backend().draw(logits, rows, END)(), sampler.draw(logits, rows, END))
