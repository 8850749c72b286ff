"""How the next token of every row of a batch is drawn.

The order, for each row: the log-probabilities reported are log_softmax of the raw logits. Then
 1. logit_bias is added;
 2. repetition penalty over prompt and generated tokens: positive scores divided, negative multiplied (Keskar
    et al. 2019, CTRL, as in transformers);
 3. presence and frequency penalties over generated tokens: score - presence - count x frequency (OpenAI);
 4. end-of-text tokens are masked before min_tokens;
 5. tokens that would write a banned string are masked (the engine finds them and draws again), and what the
    request's constraint does not allow;
 6. temperature 0 takes the best score; otherwise scores are divided by temperature, then filtered by
 7. top_k, 8. top_p over what top_k left, 9. min_p;
10. the token is where the cumulative probability, in order of token id, passes the row's uniform number.
Tokens of equal score at the edge of top_k or top_p are all kept: no arbitrary order decides.

No step mixes rows. This is the definition, in torch, for any device; `native/draw.c` does the same on CPUs. In
both a row's token is the same in any batch: here sums over the vocabulary are cumulative sums or softmax, whose
bits do not depend on the number of rows (a plain `sum` does).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worker.engine.draws import uniforms
from worker.engine.request import Sampling

# Nearly all top_p sets are this small; sorting the whole vocabulary is ten times slower.
_NUCLEUS_TRIED = 256
# A temperature below is greedy: scores divided by it leave the range of float32, and long before that all of the
# probability lies on the best token.
COLDEST = 1e-3

Tokens = Sequence[int] | NDArray[np.int64]
Values = Sequence[float] | NDArray[np.float64]


@dataclass(slots=True)
class Row:
    """What the draw of one row depends on besides its logits.

    `length`: how many tokens the sequence in `slot` has; a last one that is still under way is not among `ids`.
    `masked`: tokens already rejected at this position. `never`: tokens that hold a banned string by themselves.
    `allowed`: for each token of the vocabulary whether the constraint allows it; None if it allows all.
    """

    sampling: Sampling
    ids: Sequence[int]
    prompt_length: int
    length: int
    slot: int = 0
    masked: tuple[int, ...] = ()
    never: NDArray[np.int64] | None = None
    allowed: NDArray[np.bool_] | None = None

    @property
    def position(self) -> int:
        return self.length - self.prompt_length


class Drawn(NamedTuple):
    """A token and its log-probability, which is NaN if the row's logits were not all numbers.

    `token` is None if every token is masked. `top`: the most probable (token, log-probability).
    """

    token: int | None
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


@torch.inference_mode()
def draw(logits: Tensor, rows: Sequence[Row], end_ids: frozenset[int]) -> list[Drawn]:
    """Return one drawn token for each row of `logits` (rows, vocabulary), which is left as it was."""
    logprobs = torch.log_softmax(logits, dim=-1)
    tokens = _choose(penalised(logits, rows, end_ids), rows)
    values = logprobs.gather(1, tokens.clamp(min=0)[:, None])[:, 0]
    return [
        Drawn(token if token >= 0 else None, value, top)
        for token, value, top in zip(tokens.tolist(), values.tolist(), alternatives(logits, rows), strict=True)
    ]


def uniforms_of(rows: Sequence[Row]) -> NDArray[np.float64]:
    """Return the uniform number of each row's next draw, float64 in [0, 1)."""
    return uniforms(
        [(r.sampling.seed, r.sampling.sample, r.position, r.sampling.retry, len(r.masked)) for r in rows]
    )


def never_drawn(row: Row, end_ids: frozenset[int]) -> list[int]:
    """Return the tokens that steps 4 and 5 mask one by one."""
    ends = end_ids if row.position < row.sampling.min_tokens else ()
    return [*ends, *row.masked, *(row.never.tolist() if row.never is not None else ())]


def alternatives(logits: Tensor, rows: Sequence[Row]) -> list[tuple[tuple[int, float], ...]]:
    """Return for each row as many of the most probable tokens as it asks for, with their log-probabilities."""
    counts = [row.sampling.logprobs or 0 for row in rows]
    asking = [i for i, count in enumerate(counts) if count]
    found: list[tuple[tuple[int, float], ...]] = [()] * len(rows)
    if asking:
        best = torch.log_softmax(logits[asking], dim=-1).topk(min(max(counts), logits.shape[1]), dim=-1)
        for i, tokens, values in zip(asking, best.indices.tolist(), best.values.tolist(), strict=True):
            found[i] = tuple(zip(tokens[: counts[i]], values[: counts[i]], strict=True))
    return found


def penalised(logits: Tensor, rows: Sequence[Row], end_ids: frozenset[int]) -> Tensor:
    """Return the scores after steps 1 to 5; `logits` itself if no row changes anything."""
    scores = _Edited(logits)
    scores.add((i, list(r.sampling.logit_bias), list(r.sampling.logit_bias.values())) for i, r in enumerate(rows))
    _penalise_repetition(scores, rows)
    _penalise_presence(scores, rows)
    scores.mask((i, never_drawn(row, end_ids)) for i, row in enumerate(rows))
    allowed_in = {i: row.allowed for i, row in enumerate(rows) if row.allowed is not None}
    if allowed_in:
        allowed = torch.from_numpy(np.stack(list(allowed_in.values()))).to(logits.device)
        index = torch.tensor(list(allowed_in), device=logits.device)
        scores.written()[index] = scores.written()[index].masked_fill(~allowed, -torch.inf)
    return scores.tensor


def filtered(scores: Tensor, samplings: Sequence[Sampling]) -> Tensor:
    """Return scores (rows, vocabulary) with -inf where top_k, top_p or min_p of a row excludes a token."""
    top_k = [i for i, s in enumerate(samplings) if 0 < s.top_k < scores.shape[1]]
    if top_k:
        scores = _with_rows(scores, top_k, _top_k(scores[top_k], [samplings[i].top_k for i in top_k]))
    top_p = [i for i, s in enumerate(samplings) if s.top_p < 1]
    if top_p:
        scores = _with_rows(scores, top_p, _top_p(scores[top_p], [samplings[i].top_p for i in top_p]))
    min_p = [i for i, s in enumerate(samplings) if s.min_p > 0]
    if min_p:
        scores = _with_rows(scores, min_p, _min_p(scores[min_p], [samplings[i].min_p for i in min_p]))
    return scores


class _Edited:
    """Scores of which single entries change; copied before the first change."""

    def __init__(self, logits: Tensor) -> None:
        self.tensor = logits
        self._own = False

    def written(self) -> Tensor:
        if not self._own:
            self.tensor, self._own = self.tensor.clone(), True
        return self.tensor

    def add(self, edits: Iterable[tuple[int, Tokens, Values]]) -> None:
        """Add to the tokens of a row, each named once, a value each."""
        edits = list(edits)
        if places := self.places((row, tokens) for row, tokens, _ in edits):
            values = np.concatenate([np.asarray(values, np.float64) for _, _, values in edits])
            self.written()[places] += torch.from_numpy(values).to(self.tensor)

    def mask(self, edits: Iterable[tuple[int, Tokens]]) -> None:
        if places := self.places(edits):
            self.written()[places] = -torch.inf

    def places(self, edits: Iterable[tuple[int, Tokens]]) -> tuple[Tensor, Tensor] | None:
        """Return the indices of tokens in rows; None if there are none."""
        named = [(row, np.asarray(tokens, np.int64)) for row, tokens in edits if len(tokens)]
        if not named:
            return None
        rows = np.repeat([row for row, _ in named], [len(tokens) for _, tokens in named])
        tokens = np.concatenate([tokens for _, tokens in named])
        device = self.tensor.device
        return torch.from_numpy(rows).to(device), torch.from_numpy(tokens).to(device)


def _penalise_repetition(scores: _Edited, rows: Sequence[Row]) -> None:
    places = scores.places((i, r.ids) for i, r in enumerate(rows) if r.sampling.repetition_penalty != 1)
    if places:
        factor = _column([r.sampling.repetition_penalty for r in rows], scores.tensor)[places[0], 0]
        old = scores.tensor[places]
        # A token that stands twice is written twice with the same value.
        scores.written()[places] = torch.where(old < 0, old * factor, old / factor)


def _penalise_presence(scores: _Edited, rows: Sequence[Row]) -> None:
    edits: list[tuple[int, Tokens, Values]] = []
    for i, row in enumerate(rows):
        presence, frequency = row.sampling.presence_penalty, row.sampling.frequency_penalty
        if (presence or frequency) and row.position:
            ids, counts = np.unique(row.ids[row.prompt_length :], return_counts=True)
            edits.append((i, ids, (-(presence + counts * frequency)).astype(np.float64)))
    scores.add(edits)


def _choose(scores: Tensor, rows: Sequence[Row]) -> Tensor:
    """Return the drawn tokens (rows), -1 where none is left."""
    best = scores.argmax(dim=-1)
    warm = [i for i, row in enumerate(rows) if row.sampling.temperature >= COLDEST]
    if warm:
        best[warm] = _drawn(scores[warm], [rows[i] for i in warm])
    possible = torch.isfinite(scores.gather(1, best[:, None]))[:, 0]
    return torch.where(possible, best, -1)


def _drawn(scores: Tensor, rows: Sequence[Row]) -> Tensor:
    if any(row.sampling.temperature != 1 for row in rows):
        scores = scores / _column([row.sampling.temperature for row in rows], scores)
    probabilities = torch.softmax(filtered(scores, [row.sampling for row in rows]), dim=-1)
    cumulative = torch.cumsum(probabilities, dim=-1, dtype=torch.float64)
    total = cumulative[:, -1:]
    # Strictly below the total, so that the token found has a probability above 0.
    target = torch.minimum(
        torch.from_numpy(uniforms_of(rows)).to(scores.device)[:, None] * total,
        torch.nextafter(total, torch.zeros_like(total)),
    )
    # Only a row without any probability left (all masked, or not a number) finds nothing.
    return torch.searchsorted(cumulative, target, right=True)[:, 0].clamp_(max=scores.shape[1] - 1)


def _top_k(scores: Tensor, counts: Sequence[int]) -> Tensor:
    best = scores.topk(max(counts), dim=-1).values
    last = torch.tensor(counts, device=scores.device)[:, None] - 1
    return scores.masked_fill(scores < best.gather(1, last), -torch.inf)


def _top_p(scores: Tensor, shares: Sequence[float]) -> Tensor:
    probabilities = torch.softmax(scores, dim=-1)
    share = _column(shares, scores)
    best = probabilities.topk(min(_NUCLEUS_TRIED, scores.shape[1]), dim=-1).values
    edge = _edge(best, share)
    # Decided row by row: a neighbour's wide nucleus must not choose the way this row is computed.
    wide = torch.cumsum(best, dim=-1)[:, -1] < share[:, 0]
    if bool(wide.any()):
        edge[wide] = _edge(probabilities[wide].sort(dim=-1, descending=True).values, share[wide])
    return scores.masked_fill(probabilities < edge, -torch.inf)


def _edge(best: Tensor, share: Tensor) -> Tensor:
    """Return the least of the descending probabilities `best` that is needed to reach `share`; (rows, 1)."""
    before = torch.cumsum(best, dim=-1) - best
    needed = (before < share).sum(dim=-1, keepdim=True)
    return best.gather(1, (needed - 1).clamp_(min=0))  # at least the best, however small the share


def _min_p(scores: Tensor, ratios: Sequence[float]) -> Tensor:
    probabilities = torch.softmax(scores, dim=-1)
    least = probabilities.amax(dim=-1, keepdim=True) * _column(ratios, scores)
    return scores.masked_fill(probabilities < least, -torch.inf)


def _with_rows(scores: Tensor, indices: Sequence[int], replacement: Tensor) -> Tensor:
    if len(indices) == scores.shape[0]:
        return replacement
    scores = scores.clone()
    scores[list(indices)] = replacement
    return scores


def _column(values: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device)[:, None]
