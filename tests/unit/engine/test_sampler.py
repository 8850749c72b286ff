"""What a draw promises besides its distribution, in every implementation."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import MinPLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from tests.unit.engine.drawing import BY_EACH, Draw, as_in_a_model, drawn_at, random_logits, row
from tests.unit.engine.levels import LEVEL, backend
from worker.engine.native.library import Level
from worker.engine.request import Sampling
from worker.engine.sampler import Drawn, Row, filtered

NO_END: frozenset[int] = frozenset()


def one_draw(draw: Draw, logits: torch.Tensor, one: Row, ends: frozenset[int] = NO_END) -> Drawn:
    [drawn] = draw(logits[None], [one], ends)
    return drawn


def mixed_rows(count: int, vocabulary: int) -> list[Row]:
    """Rows with different parameters, of which some are greedy, masked or penalised."""
    return [
        row(
            [(7 * i + j) % vocabulary for j in range(2 + i % 9)],
            seed=i,
            top_k=(0, 20, 3)[i % 3],
            top_p=(1.0, 0.9, 0.5, 0.99)[i % 4],
            min_p=(0.0, 0.05)[i % 2],
            temperature=(1.0, 0.0, 1.3, 0.4, 2.0)[i % 5],
            repetition_penalty=(1.0, 1.2)[i % 2],
            presence_penalty=(0.0, 0.4, -0.4)[i % 3],
            logprobs=i % 4,
            masked=tuple(range(i % 3)),
            allowed=np.arange(vocabulary) % 5 > 0 if i % 6 == 5 else None,
        )
        for i in range(count)
    ]


@BY_EACH
def test_a_row_draws_the_same_alone_and_in_any_company(draw: Draw) -> None:
    logits = torch.stack([random_logits(400, seed) for seed in range(70)])
    rows = mixed_rows(70, 400)

    together = draw(logits, rows, NO_END)
    backwards = draw(logits.flip(0), rows[::-1], NO_END)[::-1]
    few = [drawn for at in range(0, 70, 3) for drawn in draw(logits[at : at + 3], rows[at : at + 3], NO_END)]
    alone = [one_draw(draw, logits[i], rows[i]) for i in range(70)]

    assert alone == together == backwards == few


@LEVEL
def test_a_row_draws_the_same_with_any_number_of_threads(level: Level) -> None:
    logits = torch.stack([random_logits(400, seed) for seed in range(33)])
    rows = mixed_rows(33, 400)

    by_one, *by_more = (backend(level, threads=threads).draw(logits, rows, NO_END)() for threads in (1, 2, 3))

    assert by_more == [by_one, by_one]


@BY_EACH
def test_greedy_takes_the_best_token_after_penalties(draw: Draw) -> None:
    logits = random_logits(400)
    first, second, third = logits.topk(3).indices.tolist()

    plain = one_draw(draw, logits, row(temperature=0))
    biased = one_draw(draw, logits, row(temperature=0, logit_bias={first: -100.0}))
    masked = one_draw(draw, logits, row(temperature=0, masked=(first, second)))

    assert [plain.token, biased.token, masked.token] == [first, second, third]


@BY_EACH
@pytest.mark.parametrize("vocabulary", [2, 5, 64, 400])
def test_greedy_takes_the_first_of_equal_tokens(draw: Draw, vocabulary: int) -> None:
    logits = torch.zeros(vocabulary)

    assert one_draw(draw, logits, row(temperature=0)).token == 0
    assert one_draw(draw, logits, row(temperature=0, masked=(0,))).token == 1


@BY_EACH
@pytest.mark.parametrize(
    "sampling",
    [
        {"top_p": 1e-50},
        {"top_p": 1e-300, "min_p": 1.0},
        {"temperature": 1e-300, "top_p": 0.9},
        {"temperature": 1e-40, "top_k": 5},
        {"temperature": 9e-4, "min_p": 0.5},
        {"temperature": 1e-3},
    ],
)
def test_the_smallest_values_allowed_draw_the_best_token(draw: Draw, sampling: dict[str, float]) -> None:
    logits = random_logits(400)

    assert set(drawn_at(draw, logits, row(**sampling), [0.0, 0.3, 0.999_999])) == {int(logits.argmax())}


@BY_EACH
def test_logprobs_are_the_models_own_before_any_step(draw: Draw) -> None:
    logits = random_logits(400)
    expected = torch.log_softmax(logits.double(), -1)
    one = row(logprobs=3, top_k=1, temperature=0.2, logit_bias={7: 50.0}, masked=(int(logits.argmax()),))

    drawn = one_draw(draw, logits, one)

    assert drawn.token == 7
    assert drawn.logprob == pytest.approx(expected[7].item(), rel=1e-6)
    assert [token for token, _ in drawn.top] == expected.topk(3).indices.tolist()
    assert [value for _, value in drawn.top] == pytest.approx(expected.topk(3).values.tolist(), rel=1e-6)


@BY_EACH
def test_each_row_reports_as_many_alternatives_as_it_asks_for_and_as_there_are(draw: Draw) -> None:
    rows = [row(logprobs=count) for count in (None, 0, 2, 5)]

    many = draw(as_in_a_model(random_logits(400), 4), rows, NO_END)
    few = draw(as_in_a_model(random_logits(3), 4), rows, NO_END)

    assert [len(drawn.top) for drawn in many] == [0, 0, 2, 5]
    assert [len(drawn.top) for drawn in few] == [0, 0, 2, 3]


@BY_EACH
@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("vocabulary", [2, 64, 400])
def test_a_row_whose_tokens_are_all_masked_has_none(draw: Draw, vocabulary: int, temperature: float) -> None:
    logits = random_logits(vocabulary)
    everything = tuple(range(vocabulary))
    rows = [
        row(temperature=temperature, masked=everything),
        row(temperature=temperature, never=np.arange(vocabulary), top_k=2),
        row(temperature=temperature, allowed=np.zeros(vocabulary, np.bool_), top_p=0.5),
        row(temperature=temperature, masked=everything[1:], min_tokens=5),
        row(temperature=temperature, masked=everything[1:]),
    ]

    drawn = draw(as_in_a_model(logits, 5), rows, frozenset({0}))

    assert [one.token for one in drawn] == [None, None, None, None, 0]
    assert not any(math.isnan(one.logprob) for one in drawn)


@BY_EACH
@pytest.mark.parametrize("broken", [torch.nan, torch.inf])
@pytest.mark.parametrize("at", [0, 63, 99])
@pytest.mark.parametrize(
    "sampling", [{}, {"temperature": 0}, {"top_k": 1}, {"top_p": 0.9}, {"min_p": 0.1}], ids=str
)
def test_logits_that_are_no_numbers_give_a_logprob_that_is_none(
    draw: Draw, sampling: dict[str, float], at: int, broken: float
) -> None:
    logits = as_in_a_model(random_logits(100), 3)
    logits[1, at] = broken

    before, drawn, after = draw(logits, [row(**sampling)] * 3, NO_END)

    assert math.isnan(drawn.logprob)
    assert before == after
    assert math.isfinite(after.logprob)


@BY_EACH
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_a_row_without_any_number_is_no_crash(draw: Draw, value: float) -> None:
    rows = [row(**sampling) for sampling in ({}, {"temperature": 0}, {"top_k": 3, "top_p": 0.5, "min_p": 0.5})]

    drawn = draw(torch.full((3, 70), value), rows, NO_END)

    assert all(math.isnan(one.logprob) for one in drawn)


@BY_EACH
@pytest.mark.parametrize("allowed", [np.ones(399, np.bool_), np.ones(401, np.bool_), np.ones(400, np.int64)])
def test_a_mask_of_another_form_is_an_error(draw: Draw, allowed: "np.ndarray") -> None:
    with pytest.raises((ValueError, RuntimeError, TypeError)):
        one_draw(draw, random_logits(400), row(allowed=allowed))


@BY_EACH
@pytest.mark.parametrize(
    "sampling", [{}, {"top_k": 3}, {"top_k": 50}, {"top_p": 0.9}, {"temperature": 0.0}], ids=str
)
def test_where_few_tokens_are_allowed_one_is_drawn_as_if_there_were_no_others(
    draw: Draw, sampling: dict[str, float]
) -> None:
    logits = torch.stack([random_logits(6000, seed) for seed in range(40)])
    chosen = np.random.default_rng(0)
    allowed = np.zeros((40, 6000), np.bool_)
    for i in range(40):
        allowed[i, chosen.choice(6000, 1 + 2 * i, replace=False)] = True
    rows = [row(seed=i, **sampling) for i in range(40)]

    held = draw(logits, [replace(one, allowed=mask) for one, mask in zip(rows, allowed, strict=True)], NO_END)
    alone = draw(logits.masked_fill(torch.from_numpy(~allowed), -1e30), rows, NO_END)

    assert [drawn.token for drawn in held] == [drawn.token for drawn in alone]


@BY_EACH
def test_a_redraw_uses_another_number(draw: Draw) -> None:
    rows = [row([1] * (i + 1), masked=masked) for i in range(30) for masked in ((), (63,))]

    tokens = [drawn.token for drawn in draw(torch.zeros(60, 64), rows, NO_END)]

    assert tokens[::2] != tokens[1::2]


@BY_EACH
def test_the_number_follows_the_position_of_a_token_that_is_under_way(draw: Draw) -> None:
    known, behind = row([1] * 6), replace(row([1] * 5), length=6)

    tokens = [drawn.token for drawn in draw(torch.zeros(2, 1000), [known, behind], NO_END)]

    assert tokens[0] == tokens[1] != one_draw(draw, torch.zeros(1000), row([1] * 5)).token


@BY_EACH
def test_logits_are_left_as_they_were(draw: Draw) -> None:
    logits = torch.stack([random_logits(400, seed) for seed in range(12)])
    before = logits.clone()

    draw(logits, mixed_rows(12, 400), NO_END)

    assert torch.equal(logits, before)


@BY_EACH
def test_tokens_are_drawn_as_often_as_their_probability_says(draw: Draw) -> None:
    logits = torch.tensor([0.1, 0.4, 0.2, 0.3] + [0.0] * 60).log()
    count = 8_000
    rows = [row([1] * (i + 1)) for i in range(count)]

    tokens = [drawn.token for drawn in draw(logits.expand(count, -1), rows, NO_END)]

    for token, share in enumerate((0.1, 0.4, 0.2, 0.3)):
        assert abs(tokens.count(token) / count - share) < 4 * math.sqrt(share * (1 - share) / count)


@pytest.mark.parametrize(
    ("sampling", "warpers"),
    [
        ({"top_k": 7}, [TopKLogitsWarper(7)]),
        ({"top_p": 0.6}, [TopPLogitsWarper(0.6)]),
        ({"top_p": 0.999}, [TopPLogitsWarper(0.999)]),
        ({"min_p": 0.1}, [MinPLogitsWarper(0.1)]),
        (
            {"top_k": 40, "top_p": 0.8, "min_p": 0.05},
            [TopKLogitsWarper(40), TopPLogitsWarper(0.8), MinPLogitsWarper(0.05)],
        ),
    ],
)
@pytest.mark.parametrize("scale", [0.01, 1.0, 4.0])
def test_the_definition_keeps_exactly_what_transformers_keeps(
    sampling: dict[str, float], warpers: list[object], scale: float
) -> None:
    scores = torch.stack([random_logits(384, seed, scale) for seed in range(6)])
    expected = scores
    for warper in warpers:
        expected = warper(None, expected)

    found = filtered(scores, [Sampling(seed=0, **sampling)] * 6)

    assert torch.equal(found, expected)
