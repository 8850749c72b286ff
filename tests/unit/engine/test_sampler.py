import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from transformers import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from worker.engine.request import Sampling
from worker.engine.sampler import Row, draw, filtered

VOCABULARY = 384
END = frozenset({0})


def logits_of(rows: int, seed: int = 3, scale: float = 3.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((rows, VOCABULARY), generator=generator) * scale


def row(ids: Sequence[int] = (1,), *, prompt: int = 1, masked: tuple[int, ...] = (), **sampling: object) -> Row:
    return Row(Sampling(**{"seed": 5, "max_tokens": 100, **sampling}), list(ids), prompt, masked)


def scores_seen(logits: torch.Tensor, one: Row, monkeypatch: pytest.MonkeyPatch) -> torch.Tensor:
    """Return the scores that the filters get: after penalties and temperature."""
    seen: list[torch.Tensor] = []

    def spy(scores: torch.Tensor, samplings: Sequence[Sampling]) -> torch.Tensor:
        seen.append(scores)
        return filtered(scores, samplings)

    monkeypatch.setattr("worker.engine.sampler.filtered", spy)
    draw(logits, [one], END)
    return seen[0]


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
def test_the_filtered_distribution_is_that_of_transformers(
    sampling: dict[str, float], warpers: list[object], scale: float
) -> None:
    scores = logits_of(6, scale=scale)
    expected = scores
    for warper in warpers:
        expected = warper(None, expected)

    found = filtered(scores, [Sampling(seed=0, **sampling)] * 6)

    assert torch.equal(found, expected)


def test_rows_with_different_filters_each_get_their_own() -> None:
    scores = logits_of(4)
    samplings = [
        Sampling(seed=0, top_k=3),
        Sampling(seed=0),
        Sampling(seed=0, top_p=0.3),
        Sampling(seed=0, min_p=0.5),
    ]

    together = filtered(scores, samplings)

    for i, sampling in enumerate(samplings):
        assert torch.equal(together[i], filtered(scores[i : i + 1], [sampling])[0])


def test_temperature_and_repetition_penalty_are_those_of_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, ids = logits_of(1), [5, 9, 9, 200]
    expected = RepetitionPenaltyLogitsProcessor(1.7)(torch.tensor([ids]), logits.clone())
    expected = TemperatureLogitsWarper(0.7)(None, expected)

    found = scores_seen(logits, row(ids, prompt=2, repetition_penalty=1.7, temperature=0.7), monkeypatch)

    assert torch.allclose(found, expected, rtol=1e-6)


def test_presence_frequency_and_bias_follow_the_published_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, prompt, generated = logits_of(1), [5, 8], [9, 9, 200]
    expected = logits[0].tolist()
    for token in set(generated):
        expected[token] -= 0.6 + generated.count(token) * 0.25
    expected[8] += 2.5

    one = row(prompt + generated, prompt=2, presence_penalty=0.6, frequency_penalty=0.25, logit_bias={8: 2.5})
    found = scores_seen(logits, one, monkeypatch)

    assert torch.allclose(found[0], torch.tensor(expected))


def test_the_end_is_masked_before_min_tokens_and_allowed_after() -> None:
    logits = logits_of(1)
    logits[0, 0] = 1_000

    [before] = draw(logits, [row([1, 4], min_tokens=2)], END)
    [after] = draw(logits, [row([1, 4, 4], min_tokens=2)], END)

    assert before.token != 0
    assert after.token == 0


def test_greedy_takes_the_best_token_after_penalties() -> None:
    logits = logits_of(1)
    first, second = logits[0].topk(2).indices.tolist()

    [plain] = draw(logits, [row(temperature=0)], END)
    [biased] = draw(logits, [row(temperature=0, logit_bias={first: -100.0})], END)

    assert (plain.token, biased.token) == (first, second)


def test_a_row_draws_the_same_token_alone_and_in_company() -> None:
    logits = logits_of(12)
    rows = [
        row(
            list(range(1, 3 + i)),
            seed=i,
            top_k=(0, 20)[i % 2],
            top_p=(1.0, 0.9, 0.99)[i % 3],
            temperature=(1.0, 0.0, 1.3)[i % 3],
        )
        for i in range(12)
    ]

    together = draw(logits, rows, END)

    assert [draw(logits[i : i + 1], [rows[i]], END)[0] for i in range(12)] == together


def test_tokens_are_drawn_as_often_as_their_probability_says() -> None:
    logits = torch.tensor([[0.1, 0.4, 0.2, 0.3] + [0.0] * 60]).log()
    count = 8_000
    rows = [row([1] * (i + 1)) for i in range(count)]

    tokens = [drawn.token for drawn in draw(logits.expand(count, -1), rows, frozenset())]

    for token, share in enumerate((0.1, 0.4, 0.2, 0.3)):
        assert abs(tokens.count(token) / count - share) < 4 * math.sqrt(share * (1 - share) / count)


def test_logprobs_are_the_models_own_before_any_filter() -> None:
    logits = logits_of(1)
    expected = torch.log_softmax(logits, -1)[0]

    [drawn] = draw(logits, [row(logprobs=3, top_k=1, temperature=0.2, logit_bias={7: 50.0})], END)

    assert drawn.token == 7
    assert drawn.logprob == pytest.approx(expected[7].item())
    assert [token for token, _ in drawn.top] == expected.topk(3).indices.tolist()
    assert [value for _, value in drawn.top] == pytest.approx(expected.topk(3).values.tolist())


def test_masked_tokens_are_not_drawn_and_a_fully_masked_row_has_no_token() -> None:
    logits = torch.full((1, 64), -torch.inf)
    logits[0, [3, 9]] = 0.0

    [one] = draw(logits, [row(masked=(3,))], frozenset())
    [none] = draw(logits, [row(masked=(3, 9))], frozenset())
    [greedy] = draw(logits, [row(masked=(3, 9), temperature=0)], frozenset())

    assert (one.token, none.token, greedy.token) == (9, None, None)


def test_a_redraw_uses_another_number() -> None:
    logits = torch.zeros((1, 64))
    rows = [row([1] * (i + 1), masked=masked) for i in range(30) for masked in ((), (63,))]

    tokens = [drawn.token for drawn in draw(logits.expand(60, -1), rows, frozenset())]

    assert tokens[::2] != tokens[1::2]


def test_logits_that_are_not_numbers_give_a_logprob_that_is_not_a_number() -> None:
    logits = logits_of(2)
    logits[0, 5] = torch.nan

    broken, sound = draw(logits, [row(), row()], END)

    assert math.isnan(broken.logprob)
    assert not math.isnan(sound.logprob)


@pytest.mark.parametrize(
    "sampling",
    [
        {"top_p": 1e-50},
        {"top_p": 1e-300, "min_p": 1.0},
        {"temperature": 1e-300, "top_p": 0.9},
        {"temperature": 1e-40, "top_k": 5},
        {"temperature": 9e-4, "min_p": 0.5},
    ],
)
def test_the_smallest_values_allowed_draw_the_best_token(sampling: dict[str, float]) -> None:
    logits = logits_of(1)

    [drawn] = draw(logits, [row(**sampling)], END)

    assert drawn.token == int(logits.argmax())


def test_tokens_that_are_never_to_be_written_are_not_drawn() -> None:
    logits = logits_of(1)
    never = np.array([token for token in range(VOCABULARY) if token != 17])

    [drawn] = draw(logits, [Row(Sampling(seed=5), [1], 1, never=never)], frozenset())

    assert drawn.token == 17
