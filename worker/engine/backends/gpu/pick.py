"""Steps 6 to 10 of `sampler`, and the token's log-probability, as one Triton kernel: a program for each row.

A filter is a score below which nothing is kept. It is found by halving an interval: one look at a row says how
many tokens, and how much probability, lie above the middle. A row of scores stays in the cache of the device
meanwhile, and most searches begin next to their end. No row waits for the host, or for one that needs more looks.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from worker.engine.backends.gpu.slots import Setting
from worker.engine.backends.gpu.transfers import padded
from worker.engine.sampler import COLDEST

# Scores that a program looks at together, and its warps: the same for all batches, for the order in which weights
# are added up follows from them. With so few registers two programs fit on a multiprocessor.
TILE = 4096
WARPS = 16
_REGISTERS = 64
# Scores further below the best than this have no weight in float32.
_DEEPEST = 128.0


@triton.jit
def _read(scores, at, vocabulary):
    return tl.load(scores + at, mask=at < vocabulary, other=-float("inf"))


@triton.jit
def _above(scores, vocabulary, temperature, peak, least, TILE: tl.constexpr):
    """Return how many scores are not below `least`, and their weight relative to the best one's."""
    lane = tl.arange(0, TILE)
    count = tl.zeros([TILE], tl.int32)
    mass = tl.zeros([TILE], tl.float32)
    for start in range(0, vocabulary, TILE):
        x = _read(scores, start + lane, vocabulary) / temperature
        kept = x >= least
        count += kept.to(tl.int32)
        mass += tl.where(kept, tl.exp(x - peak), 0.0)
    return tl.sum(count, axis=0), tl.sum(mass.to(tl.float64), axis=0)


@triton.jit
def _highest(scores, vocabulary, TILE: tl.constexpr):
    """Return the best score that each lane meets, and where it first did."""
    lane = tl.arange(0, TILE)
    highest = tl.full([TILE], -float("inf"), tl.float32)
    first = tl.zeros([TILE], tl.int32)
    for start in range(0, vocabulary, TILE):
        x = _read(scores, start + lane, vocabulary)
        first = tl.where(x > highest, start + lane, first)
        highest = tl.where(x > highest, x, highest)
    return highest, first


@triton.jit
def _log_total(logits, vocabulary, best, TILE: tl.constexpr):
    """Return the logarithm of all weight relative to the best logit's; not a number if a logit is none."""
    lane = tl.arange(0, TILE)
    sums = tl.zeros([TILE], tl.float32)
    for start in range(0, vocabulary, TILE):
        x = _read(logits, start + lane, vocabulary)
        sums += tl.where(start + lane < vocabulary, tl.exp(x - best), 0.0)
    return tl.log(tl.sum(sums, axis=0))


@triton.jit
def _top_k_edge(scores, vocabulary, temperature, peak, low, beyond, highest, top_k, TILE: tl.constexpr):
    """Return a score that as many tokens reach, or as few more as have equal ones; `low` if fewer reach that."""
    # A score that so many lanes reach is reached by as many tokens, and seldom by more: begin with that.
    lanes = highest / temperature
    high = beyond
    searching = tl.sum((lanes >= low).to(tl.int32), axis=0) > top_k
    while searching:
        middle = (low + high) * 0.5
        reaching = tl.sum((lanes >= middle).to(tl.int32), axis=0)
        searching = (middle > low) & (middle < high) & (reaching != top_k)
        if reaching >= top_k:
            low = middle
        else:
            high = middle
    high = beyond
    count, _ = _above(scores, vocabulary, temperature, peak, low, TILE)
    searching = count > top_k
    while searching:
        middle = (low + high) * 0.5
        searching = (middle > low) & (middle < high)
        if searching:
            count, _ = _above(scores, vocabulary, temperature, peak, middle, TILE)
            searching = count != top_k
            if count >= top_k:
                low = middle
            else:
                high = middle
    return low


@triton.jit
def _top_p_edge(scores, vocabulary, temperature, peak, low, beyond, top_p, TILE: tl.constexpr):
    """Return the highest score above which, itself included, lies that share of what `low` leaves."""
    high = beyond
    low_count, total = _above(scores, vocabulary, temperature, peak, low, TILE)
    high_count = 0
    goal = total * top_p.to(tl.float64)
    searching = low_count > 1
    while searching:
        middle = (low + high) * 0.5
        searching = (middle > low) & (middle < high)
        if searching:
            count, mass = _above(scores, vocabulary, temperature, peak, middle, TILE)
            if (count > 0) & (mass >= goal):
                low = middle
                low_count = count
            else:
                high = middle
                high_count = count
            searching = low_count - high_count > 1
    return low


@triton.jit
def _weights(scores, at, vocabulary, temperature, peak, edge, min_p):
    """Return what the filters keep, and its weight relative to the best one's."""
    x = _read(scores, at, vocabulary) / temperature
    weight = tl.exp(x - peak)
    kept = (x >= edge) & (weight >= min_p) & (weight > 0.0)
    return kept, tl.where(kept, weight, 0.0).to(tl.float64)


@triton.jit
def _drawn(scores, vocabulary, temperature, peak, edge, min_p, number, TILE: tl.constexpr):
    """Return the first token, in order of id, at which the weight so far passes the row's share of the total."""
    lane = tl.arange(0, TILE)
    last = tl.full([TILE], -1, tl.int32)
    total = tl.sum(tl.zeros([TILE], tl.float64), axis=0)
    for start in range(0, vocabulary, TILE):
        kept, weight = _weights(scores, start + lane, vocabulary, temperature, peak, edge, min_p)
        last = tl.where(kept, start + lane, last)
        total += tl.sum(weight, axis=0)
    token = tl.max(last, axis=0)  # it stays this one where rounding leaves no other
    target = total * number
    before = total * 0.0
    start = 0
    searching = True
    while searching:
        at = start + lane
        kept, weight = _weights(scores, at, vocabulary, temperature, peak, edge, min_p)
        after = before + tl.sum(weight, axis=0)
        if after > target:
            passed = kept & (before + tl.cumsum(weight, axis=0) > target)
            found = tl.min(tl.where(passed, at, vocabulary), axis=0)
            inside = tl.max(tl.where(kept, at, -1), axis=0)
            token = tl.where(found < vocabulary, found, inside)
        searching = (after <= target) & (start + TILE < vocabulary)
        before = after
        start += TILE
    return token


# A kernel of its own for each kind of batch would have to be compiled while texts wait.
@triton.jit(do_not_specialize=["edited"])
def _pick(
    logits,
    scores,
    slots,
    lengths,
    uniforms,
    settings,
    history,
    tokens,
    logprobs,
    totals,
    logits_stride,
    scores_stride,
    history_stride,
    vocabulary,
    edited,
    COLDEST: tl.constexpr,
    DEEPEST: tl.constexpr,
    FIELDS: tl.constexpr,
    TEMPERATURE: tl.constexpr,
    TOP_K: tl.constexpr,
    TOP_P: tl.constexpr,
    MIN_P: tl.constexpr,
    TILE: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    logits += row * logits_stride
    scores += row * scores_stride
    slot = tl.load(slots + row).to(tl.int64)
    settings += slot * FIELDS

    highest, first = _highest(scores, vocabulary, TILE)
    best = tl.max(highest, axis=0)
    token = tl.min(tl.where(highest == best, first, vocabulary), axis=0)
    raw_best = best
    if edited != 0:
        raw_highest, _ = _highest(logits, vocabulary, TILE)
        raw_best = tl.max(raw_highest, axis=0)
    log_total = _log_total(logits, vocabulary, raw_best, TILE)

    temperature = tl.load(settings + TEMPERATURE).to(tl.float32)
    possible = (best > -float("inf")) & (best < float("inf"))
    if possible & (temperature >= COLDEST):
        peak = best / temperature
        beyond = peak + tl.maximum(1.0, tl.abs(peak) * 1e-6)
        edge = peak - DEEPEST
        top_k = tl.load(settings + TOP_K).to(tl.int32)
        if (top_k > 0) & (top_k < vocabulary):
            edge = _top_k_edge(scores, vocabulary, temperature, peak, edge, beyond, highest, top_k, TILE)
        top_p = tl.load(settings + TOP_P).to(tl.float32)
        if top_p < 1.0:
            edge = _top_p_edge(scores, vocabulary, temperature, peak, edge, beyond, top_p, TILE)
        min_p = tl.load(settings + MIN_P).to(tl.float32)
        token = _drawn(scores, vocabulary, temperature, peak, edge, min_p, tl.load(uniforms + row), TILE)

    chosen = tl.minimum(token, vocabulary - 1)
    tl.store(tokens + row, tl.where(possible, chosen, -1))
    tl.store(logprobs + row, tl.load(logits + chosen) - raw_best - log_total)
    tl.store(totals + row, raw_best + log_total)
    tl.store(history + slot * history_stride + tl.load(lengths + row), chosen.to(tl.int64))


def pick(
    logits: Tensor,
    scores: Tensor,
    slots: Tensor,
    lengths: Tensor,
    uniforms: Tensor,
    settings: Tensor,
    history: Tensor,
) -> Tensor:
    """Draw a token for each row of `scores` and note it in `history` (slots, positions) after the row's others.

    Return int32 (3, rows and a few more): the tokens, -1 where none can be drawn, and the bits of their
    log-probabilities in `logits` and of what a logit lies above its log-probability.
    """
    rows, vocabulary = logits.shape
    drawn = torch.empty((3, padded(rows)), dtype=torch.int32, device=logits.device)
    kernel: Any = _pick
    kernel[(rows,)](
        logits,
        scores,
        slots,
        lengths,
        uniforms,
        settings,
        history,
        drawn[0],
        drawn[1].view(torch.float32),
        drawn[2].view(torch.float32),
        logits.stride(0),
        scores.stride(0),
        history.stride(0),
        vocabulary,
        int(scores is not logits),
        COLDEST=COLDEST,
        DEEPEST=_DEEPEST,
        FIELDS=len(Setting),
        TEMPERATURE=int(Setting.TEMPERATURE),
        TOP_K=int(Setting.TOP_K),
        TOP_P=int(Setting.TOP_P),
        MIN_P=int(Setting.MIN_P),
        TILE=min(TILE, triton.next_power_of_2(vocabulary)),
        num_warps=WARPS,
        maxnreg=_REGISTERS,
    )
    return drawn
