"""Rows that ask for anything a request may ask of its draws, and logits as a model gives them."""

import random
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from worker.engine.request import Sampling
from worker.engine.sampler import Drawn, Row

END = frozenset({0, 7})


def row(
    ids: Sequence[int] = (1,),
    *,
    slot: int = 0,
    prompt: int = 1,
    length: int | None = None,
    masked: tuple[int, ...] = (),
    never: "np.ndarray | None" = None,
    allowed: "np.ndarray | None" = None,
    **sampling: object,
) -> Row:
    asked = Sampling(**{"seed": 5, "max_tokens": 10_000, **sampling})
    tokens = list(ids)
    return Row(asked, tokens, prompt, length or len(tokens), slot, masked, never, allowed)


def logits_of(rows: int, vocabulary: int, *, seed: int = 3, scale: float = 3.0) -> Tensor:
    """Return logits as the model gives them: columns of a wider tensor."""
    padded = torch.randn((rows, vocabulary + 13), generator=torch.Generator().manual_seed(seed)) * scale
    return padded[:, :vocabulary]


def any_row(rng: random.Random, slot: int, vocabulary: int) -> Row:
    """Return a row that asks for anything at all."""
    length = rng.randrange(1, 30)
    never = np.array(rng.sample(range(vocabulary), 5)) if rng.random() < 0.2 else None
    allowed = np.random.default_rng(slot).random(vocabulary) < 0.3 if rng.random() < 0.2 else None
    return row(
        [rng.randrange(vocabulary) for _ in range(length)],
        slot=slot,
        prompt=rng.randrange(1, length + 1),
        masked=tuple(rng.sample(range(vocabulary), rng.choice([0, 0, 4]))),
        never=never,
        allowed=allowed,
        seed=rng.getrandbits(64),
        sample=rng.randrange(3),
        retry=rng.randrange(2),
        temperature=rng.choice([0, 1e-3, 0.3, 0.8, 1, 1, 1.7]),
        top_k=rng.choice([0, 0, 1, 5, 50, vocabulary - 1, vocabulary, vocabulary + 5]),
        top_p=rng.choice([1, 1, 1e-20, 0.1, 0.5, 0.9, 0.99]),
        min_p=rng.choice([0, 0, 0.01, 0.2, 1]),
        repetition_penalty=rng.choice([1, 1, 1.3, 0.7]),
        presence_penalty=rng.choice([0, 0, 0.7, -1]),
        frequency_penalty=rng.choice([0, 0, 0.4]),
        logit_bias={rng.randrange(vocabulary): rng.uniform(-5, 5) for _ in range(rng.choice([0, 0, 3]))},
        min_tokens=rng.choice([0, 0, 5]),
        logprobs=rng.choice([None, 0, 3]),
    )


def assert_same(found: Sequence[Drawn], expected: Sequence[Drawn]) -> None:
    assert [one.token for one in found] == [one.token for one in expected]
    assert [one.logprob for one in found] == pytest.approx([one.logprob for one in expected], abs=1e-4)
    for ours, theirs in zip(found, expected, strict=True):
        assert [token for token, _ in ours.top] == [token for token, _ in theirs.top]
        assert [value for _, value in ours.top] == pytest.approx([value for _, value in theirs.top], abs=1e-4)
