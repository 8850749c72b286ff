"""What is drawn from: the same distribution as transformers', token for token, in every implementation."""

import random

import numpy as np
import pytest
import torch

from tests.unit.engine.drawing import (
    BY_EACH,
    Draw,
    check_distribution,
    drawn_at,
    random_logits,
    row,
)

VOCABULARIES = (1, 5, 63, 64, 65, 400, 50257)


@BY_EACH
@pytest.mark.parametrize("vocabulary", VOCABULARIES)
def test_without_parameters_every_token_has_its_softmax(draw: Draw, vocabulary: int) -> None:
    check_distribution(draw, random_logits(vocabulary), row())


@BY_EACH
@pytest.mark.parametrize("temperature", [0.001, 0.05, 0.7, 1.5, 100.0])
def test_temperature(draw: Draw, temperature: float) -> None:
    check_distribution(draw, random_logits(400), row(temperature=temperature))


@BY_EACH
@pytest.mark.parametrize("top_k", [1, 2, 6, 7, 50, 399, 400, 401, 2**40])
@pytest.mark.parametrize("vocabulary", [5, 400, 4096])
def test_top_k_below_and_above_the_vocabulary(draw: Draw, vocabulary: int, top_k: int) -> None:
    check_distribution(draw, random_logits(vocabulary), row(top_k=top_k))


@BY_EACH
@pytest.mark.parametrize("top_p", [1e-50, 1e-6, 0.3, 0.9, 0.999, 1 - 1e-9, 1.0])
@pytest.mark.parametrize("scale", [0.01, 1.0, 6.0])
def test_top_p_of_narrow_and_wide_distributions(draw: Draw, scale: float, top_p: float) -> None:
    check_distribution(draw, random_logits(1000, scale=scale), row(top_p=top_p))


@BY_EACH
@pytest.mark.parametrize("min_p", [1e-30, 0.001, 0.1, 0.9, 1.0])
def test_min_p(draw: Draw, min_p: float) -> None:
    check_distribution(draw, random_logits(400), row(min_p=min_p))


@BY_EACH
@pytest.mark.parametrize("sampling", [{"top_k": 4}, {"top_p": 0.3}, {"min_p": 0.5}, {"top_k": 90, "top_p": 0.999}])
@pytest.mark.parametrize("vocabulary", [63, 400, 4096])
def test_equal_tokens_at_an_edge_are_all_kept(draw: Draw, vocabulary: int, sampling: dict[str, float]) -> None:
    logits = random_logits(vocabulary).round()  # a dozen values

    check_distribution(draw, logits, row(**sampling))


@BY_EACH
def test_where_all_tokens_are_equal_no_filter_tells_them_apart(draw: Draw) -> None:
    check_distribution(draw, torch.full((130,), -2.5), row(top_k=3, top_p=0.2, min_p=1.0))


@BY_EACH
@pytest.mark.parametrize("vocabulary", [1, 2, 16, 64, 1024])
def test_a_number_at_an_edge_belongs_to_the_token_that_begins_there(draw: Draw, vocabulary: int) -> None:
    uniforms = [token / vocabulary for token in range(vocabulary)]  # exact, as are the shares

    assert drawn_at(draw, torch.zeros(vocabulary), row(), uniforms) == list(range(vocabulary))


@BY_EACH
@pytest.mark.parametrize("penalty", [0.01, 0.5, 1.3, 100.0])
def test_repetition_penalty_over_prompt_and_text(draw: Draw, penalty: float) -> None:
    check_distribution(draw, random_logits(400), row([5, 9, 9, 200, 5], prompt=2, repetition_penalty=penalty))


@BY_EACH
@pytest.mark.parametrize(("presence", "frequency"), [(0.6, 0.0), (0.0, 0.25), (-100.0, 1.5), (2.0, -0.5)])
def test_presence_and_frequency_over_the_text_alone(draw: Draw, presence: float, frequency: float) -> None:
    one = row([5, 8, 9, 9, 8, 9], prompt=2, presence_penalty=presence, frequency_penalty=frequency)

    check_distribution(draw, random_logits(64), one)


@BY_EACH
def test_logit_bias(draw: Draw) -> None:
    check_distribution(draw, random_logits(400), row(logit_bias={3: 4.5, 399: -100.0, 7: 100.0, 0: -0.25}))


@BY_EACH
def test_min_tokens_keeps_the_end_away_until_then(draw: Draw) -> None:
    logits = random_logits(64)
    logits[[0, 9]] = 3.0
    ends = frozenset({0, 9})

    check_distribution(draw, logits, row([1, 4], min_tokens=2), ends)
    check_distribution(draw, logits, row([1, 4, 4], min_tokens=2), ends)

    assert 0 in drawn_at(draw, logits, row([1, 4, 4], min_tokens=2), [0.0], ends)


@BY_EACH
def test_masked_tokens_banned_tokens_and_constraints(draw: Draw) -> None:
    allowed = np.arange(400) % 3 > 0
    one = row(masked=(4, 5, 7), never=np.array([399, 10]), allowed=allowed, top_k=60)

    check_distribution(draw, random_logits(400), one)


@BY_EACH
def test_a_mask_may_lie_scattered_in_memory(draw: Draw) -> None:
    allowed = np.zeros((400, 2), np.bool_)
    allowed[::2, 1] = True

    check_distribution(draw, random_logits(400), row(allowed=allowed[:, 1]))


@BY_EACH
@pytest.mark.parametrize("size", [1e4, -1e4])
def test_large_logits_and_impossible_tokens(draw: Draw, size: float) -> None:
    logits = random_logits(100)
    logits[30:35] += size
    logits[60:70] = -torch.inf

    check_distribution(draw, logits, row(top_p=0.99))


@BY_EACH
def test_the_largest_logits_that_there_are(draw: Draw) -> None:
    logits = random_logits(100)
    logits[30:35] = 3e38

    assert drawn_at(draw, logits, row(top_p=0.99), [0.0, 0.5, 0.999_999]) == [30, 32, 34]


@BY_EACH
@pytest.mark.parametrize("number", range(40))
def test_all_parameters_together_in_their_order(draw: Draw, number: int) -> None:
    dice = random.Random(number)
    vocabulary = dice.choice([5, 63, 400, 1000, 4096])
    ids = [dice.randrange(vocabulary) for _ in range(dice.randrange(1, 80))]
    one = row(
        ids,
        prompt=dice.randrange(1, len(ids) + 1),
        temperature=dice.choice([0.1, 0.7, 1.0, 1.4]),
        top_k=dice.choice([0, 1, 3, 40, 5000]),
        top_p=dice.choice([0.2, 0.9, 1.0]),
        min_p=dice.choice([0.0, 0.02, 0.4]),
        repetition_penalty=dice.choice([1.0, 0.7, 1.2]),
        presence_penalty=dice.choice([0.0, 0.8]),
        frequency_penalty=dice.choice([0.0, -0.3, 0.3]),
        logit_bias={dice.randrange(vocabulary): dice.uniform(-9, 9) for _ in range(dice.choice([0, 5]))},
        min_tokens=dice.choice([0, 60]),
        masked=tuple(dice.sample(range(vocabulary), dice.choice([0, 3]))),
    )

    check_distribution(draw, random_logits(vocabulary, seed=number), one)
