"""Draws the next token of every row of a batch.

The order, for each row: the log-probabilities reported are log_softmax of the raw logits. Then
 1. logit_bias is added;
 2. repetition penalty over prompt and generated tokens: positive scores divided, negative multiplied (Keskar
    et al. 2019, CTRL, as in transformers);
 3. presence and frequency penalties over generated tokens: score - presence - count x frequency (OpenAI);
 4. end-of-text tokens are masked before min_tokens;
 5. tokens that would write a banned string are masked (the engine finds them and draws again);
 6. temperature 0 takes the best score; otherwise scores are divided by temperature, then filtered by
 7. top_k, 8. top_p over what top_k left, 9. min_p;
10. the token is where the cumulative probability, in order of token id, passes the row's uniform number.
Tokens of equal score at the edge of top_k or top_p are all kept: no arbitrary order decides.

No step mixes rows, and sums over the vocabulary are cumulative sums or softmax, whose bits do not depend on
the number of rows (a plain `sum` does): a row's token is the same in any batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from worker.engine.draws import uniforms
from worker.engine.request import Sampling

# Nearly all top_p sets are this small; sorting the whole vocabulary is ten times slower.
_NUCLEUS_TRIED = 256
# A temperature below is greedy: scores divided by it leave the range of float32, and long before that all of the
# probability lies on the best token.
COLDEST = 1e-3


@dataclass(frozen=True, slots=True)
class Row:
    """What the draw of one row depends on besides its logits.

    `masked`: tokens already rejected at this position. `never`: tokens that hold a banned string by themselves.
    """

    sampling: Sampling
    ids: Sequence[int]
    prompt_length: int
    masked: tuple[int, ...] = ()
    never: "np.ndarray | None" = None

    @property
    def position(self) -> int:
        return len(self.ids) - self.prompt_length


@dataclass(frozen=True, slots=True)
class Drawn:
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
    scores = _penalised(logits, rows, end_ids)
    tokens = _choose(scores, rows)
    chosen = tokens[:, None]
    possible = torch.isfinite(scores.gather(1, chosen))[:, 0].tolist()
    values = logprobs.gather(1, chosen)[:, 0].tolist()
    best = _alternatives(logprobs, rows)
    return [
        Drawn(token if ok else None, value, top)
        for token, ok, value, top in zip(tokens.tolist(), possible, values, best, strict=True)
    ]


def logprobs_of(logits: Tensor, tokens: Sequence[int]) -> list[float]:
    """Return the log-probability of one token in each row of `logits`, as `draw` reports it."""
    chosen = torch.tensor(tokens, device=logits.device)[:, None]
    values: list[float] = torch.log_softmax(logits, dim=-1).gather(1, chosen)[:, 0].tolist()
    return values


def _choose(scores: Tensor, rows: Sequence[Row]) -> Tensor:
    best = scores.argmax(dim=-1)
    warm = [i for i, row in enumerate(rows) if row.sampling.temperature >= COLDEST]
    if not warm:
        return best
    if len(warm) < len(rows):
        best[warm] = _drawn(scores[warm], [rows[i] for i in warm])
        return best
    return _drawn(scores, rows)


def _drawn(scores: Tensor, rows: Sequence[Row]) -> Tensor:
    if any(row.sampling.temperature != 1 for row in rows):
        scores = scores / _column([row.sampling.temperature for row in rows], scores)
    probabilities = torch.softmax(filtered(scores, [row.sampling for row in rows]), dim=-1)
    cumulative = torch.cumsum(probabilities, dim=-1, dtype=torch.float64)
    numbers = uniforms(
        [(r.sampling.seed, r.sampling.sample, r.position, r.sampling.retry, len(r.masked)) for r in rows]
    )
    total = cumulative[:, -1:]
    # Strictly below the total, so that the token found has a probability above 0.
    target = torch.minimum(
        torch.from_numpy(numbers).to(scores.device)[:, None] * total,
        torch.nextafter(total, torch.zeros_like(total)),
    )
    # Only a row without any probability left (all masked, or not a number) finds nothing.
    return torch.searchsorted(cumulative, target, right=True)[:, 0].clamp_(max=scores.shape[1] - 1)


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


def _penalised(logits: Tensor, rows: Sequence[Row], end_ids: frozenset[int]) -> Tensor:
    """Return the scores before temperature; `logits` itself if no row changes anything."""
    changed = [i for i, row in enumerate(rows) if _changes(row)]
    if not changed:
        return logits
    scores = logits.clone()
    for i in changed:
        _penalise(scores[i], rows[i], end_ids)
    return scores


def _changes(row: Row) -> bool:
    s = row.sampling
    return bool(
        s.logit_bias
        or s.repetition_penalty != 1
        or s.presence_penalty
        or s.frequency_penalty
        or row.position < s.min_tokens
        or row.masked
        or row.never is not None
    )


def _penalise(scores: Tensor, row: Row, end_ids: frozenset[int]) -> None:
    """Apply steps 1 to 5 to one row (vocabulary,), in place."""
    s = row.sampling
    if s.logit_bias:
        scores[_index(list(s.logit_bias), scores)] += torch.tensor(list(s.logit_bias.values())).to(scores)
    if s.repetition_penalty != 1:
        seen = _index(np.unique(row.ids), scores)
        old = scores[seen]
        scores[seen] = torch.where(old < 0, old * s.repetition_penalty, old / s.repetition_penalty)
    if (s.presence_penalty or s.frequency_penalty) and row.position:
        ids, counts = np.unique(row.ids[row.prompt_length :], return_counts=True)
        scores[_index(ids, scores)] -= torch.from_numpy(s.presence_penalty + counts * s.frequency_penalty).to(
            scores
        )
    if row.position < s.min_tokens and end_ids:
        scores[_index(list(end_ids), scores)] = -torch.inf
    if row.never is not None:
        scores[_index(row.never, scores)] = -torch.inf
    if row.masked:
        scores[_index(list(row.masked), scores)] = -torch.inf


def _alternatives(logprobs: Tensor, rows: Sequence[Row]) -> list[tuple[tuple[int, float], ...]]:
    counts = [row.sampling.logprobs or 0 for row in rows]
    if not any(counts):
        return [()] * len(rows)
    values, tokens = (t.tolist() for t in logprobs.topk(max(counts), dim=-1))
    return [tuple(zip(tokens[i][:count], values[i][:count], strict=True)) for i, count in enumerate(counts)]


def _with_rows(scores: Tensor, indices: Sequence[int], replacement: Tensor) -> Tensor:
    if len(indices) == scores.shape[0]:
        return replacement
    scores = scores.clone()
    scores[list(indices)] = replacement
    return scores


def _column(values: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device)[:, None]


def _index(ids: "Sequence[int] | np.ndarray", like: Tensor) -> Tensor:
    return torch.as_tensor(ids, dtype=torch.long, device=like.device)
