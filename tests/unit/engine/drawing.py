"""Drawing with chosen uniform numbers, by each implementation, and the distribution that they should draw from."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    SuppressTokensLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from tests.unit.engine.levels import RUNNABLE, backend
from worker.engine import sampler
from worker.engine.request import Sampling
from worker.engine.sampler import Drawn, Row

END = frozenset({0})
Draw = Callable[..., list[Drawn]]  # (logits, rows, end ids)

_BATCH = 64
_LAST = 1 - 2.0**-53


def _native(level: object) -> Draw:
    return lambda logits, rows, ends=END: backend(level).draw(logits, rows, ends)()


def _torch(logits: Tensor, rows: Sequence[Row], ends: frozenset[int] = END) -> list[Drawn]:
    return sampler.draw(logits, rows, ends)


# The definition, and the compiled draw for each kind of processor.
IMPLEMENTATIONS: dict[str, Draw] = {"torch": _torch} | {level.name: _native(level) for level in RUNNABLE}
BY_EACH = pytest.mark.parametrize("draw", list(IMPLEMENTATIONS.values()), ids=list(IMPLEMENTATIONS))


def row(
    ids: Sequence[int] = (1,),
    *,
    prompt: int = 1,
    masked: tuple[int, ...] = (),
    never: "np.ndarray | None" = None,
    allowed: "np.ndarray | None" = None,
    **sampling: object,
) -> Row:
    asked = Sampling(**{"seed": 5, "max_tokens": 10_000, **sampling})
    return Row(asked, list(ids), prompt, len(ids), 0, masked, never, allowed)


def random_logits(vocabulary: int, seed: int = 3, scale: float = 3.0) -> Tensor:
    return torch.randn(vocabulary, generator=torch.Generator().manual_seed(seed)) * scale


def as_in_a_model(logits: Tensor, count: int) -> Tensor:
    """Return `count` rows of `logits` as a model gives them: cut from wider rows, whose rest is no number."""
    wide = torch.full((count, logits.numel() + 7), torch.nan)
    wide[:, : logits.numel()] = logits
    return wide[:, : logits.numel()]


@contextmanager
def chosen(uniforms: Sequence[float]) -> Iterator[None]:
    """Let the uniform number of a row be the one of `uniforms` that its seed names."""

    def numbers(rows: Sequence[Row]) -> "np.ndarray":
        return np.array([uniforms[r.sampling.seed] for r in rows])

    with (
        patch("worker.engine.sampler.uniforms_of", numbers),
        patch("worker.engine.backends.native.uniforms_of", numbers),
    ):
        yield


def drawn_at(
    draw: Draw, logits: Tensor, one: Row, uniforms: Sequence[float], ends: frozenset[int] = END
) -> list[int | None]:
    """Return the tokens that `one` draws from `logits` (vocabulary) at each of the uniform numbers."""
    tokens: list[int | None] = []
    with chosen(uniforms):
        for start in range(0, len(uniforms), _BATCH):
            seeds = range(start, min(start + _BATCH, len(uniforms)))
            rows = [replace(one, sampling=replace(one.sampling, seed=seed)) for seed in seeds]
            tokens += [drawn.token for drawn in draw(as_in_a_model(logits, len(rows)), rows, ends)]
    return tokens


def distribution(logits: Tensor, one: Row, ends: frozenset[int] = END) -> Tensor:
    """Return the probabilities (vocabulary) that `one` should draw from, in float64.

    Where transformers has the step, it is transformers that does it; the penalties over generated tokens are those
    of OpenAI's API reference: logit - count x frequency - (1 if count > 0) x presence.
    """
    s, scores, generated = one.sampling, logits.double()[None].clone(), list(one.ids[one.prompt_length :])
    for token, bias in s.logit_bias.items():
        scores[0, token] += bias
    if s.repetition_penalty != 1:
        scores = RepetitionPenaltyLogitsProcessor(s.repetition_penalty)(torch.tensor([one.ids]), scores)
    for token in set(generated):
        scores[0, token] -= generated.count(token) * s.frequency_penalty + s.presence_penalty
    forbidden = [*one.masked, *(one.never.tolist() if one.never is not None else [])]
    forbidden += ends if len(generated) < s.min_tokens else ()
    forbidden += np.flatnonzero(~one.allowed).tolist() if one.allowed is not None else []
    if forbidden:
        scores = SuppressTokensLogitsProcessor(forbidden)(None, scores)
    scores = TemperatureLogitsWarper(float(s.temperature))(None, scores)
    if s.top_k:
        scores = TopKLogitsWarper(s.top_k)(None, scores)
    if s.top_p < 1:
        kept = TopPLogitsWarper(s.top_p)(None, scores)
        # Of equal tokens at the edge transformers keeps those that its sort happens to put first; we keep all.
        scores = scores.masked_fill(scores < kept[kept.isfinite()].min(), -torch.inf)
    if s.min_p > 0:
        scores = MinPLogitsWarper(s.min_p)(None, scores)
    return torch.softmax(scores[0], dim=-1)


def check_distribution(draw: Draw, logits: Tensor, one: Row, ends: frozenset[int] = END) -> None:
    """Check that `draw` divides [0, 1) among the tokens, in order of their ids, as `distribution` says."""
    expected = distribution(logits, one, ends)
    upper = expected.cumsum(0)
    lower = upper - expected
    # Scores divided by the temperature are rounded, and their errors are errors of the exponent.
    hottest = logits.abs().max().item() + max(map(abs, one.sampling.logit_bias.values()), default=0)
    slack = 2e-6 + 2e-7 * hottest / one.sampling.temperature
    uniforms = _probes(expected, lower, upper, 1.5 * slack)

    tokens = drawn_at(draw, logits, one, uniforms, ends)

    assert None not in tokens
    at, u = torch.tensor(tokens), torch.tensor(uniforms, dtype=torch.float64)
    assert bool((_generous(logits, one, ends)[at] > 0).all()), "a token was drawn that is filtered out"
    assert bool(((lower[at] - slack <= u) & (u <= upper[at] + slack)).all()), "a token has another share"


def _generous(logits: Tensor, one: Row, ends: frozenset[int]) -> Tensor:
    """Return the distribution with as much more in top_p as sums of float32 may err."""
    share = min(1.0, one.sampling.top_p + 1e-6)
    return distribution(logits, replace(one, sampling=replace(one.sampling, top_p=share)), ends)


def _probes(expected: Tensor, lower: Tensor, upper: Tensor, apart: float) -> list[float]:
    """Return uniform numbers within the shares of up to 150 tokens, and at both sides of their edges."""
    kept = expected.nonzero()[:, 0]
    if len(kept) > 150:
        spread = kept[torch.linspace(0, len(kept) - 1, 75).long()]
        kept = torch.cat([spread, expected.topk(75).indices]).unique()
    low, high = lower[kept], upper[kept]
    numbers = torch.cat([(low + high) / 2, low + apart, low - apart, high - apart, torch.tensor([0.0, _LAST])])
    return sorted(set(numbers.clamp(0, _LAST).tolist()))
