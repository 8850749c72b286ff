"""How much of a text stands word for word in the training text."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.ngram import packed
from training.rows import Tokens

SEED_LENGTH = 4
"""Spans grow from exact four-token matches; shorter ones say nothing."""
TOKEN_BITS = 15
"""Ids are below 32,768."""
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Span:
    """The longest span of one text that the training tokens hold: `text[start:start + length]`."""

    start: int = 0
    length: int = 0


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, 90th and 99th percentile and largest of some lengths."""
    return {
        "median": round(float(np.median(values)), 3),
        "p90": round(float(np.percentile(values, 90)), 3),
        "p99": round(float(np.percentile(values, 99)), 3),
        "largest": round(float(max(values)), 3),
    }


def longest_spans(texts: Sequence[Tokens], train: Tokens) -> list[Span]:
    """Find each text's longest verbatim span; length 0 when it is under `SEED_LENGTH` tokens.

    A match of n + 1 tokens begins with one of n, so both sides keep only the
    positions that still match and grow their 64-bit rolling hash by one token
    a round. Texts shorter than `SEED_LENGTH` never match.
    """
    joined = np.concatenate([*texts, np.zeros(0, dtype=np.uint16)])
    ends = np.cumsum([len(text) for text in texts])
    mine = np.arange(len(joined) - SEED_LENGTH + 1)
    owner = np.searchsorted(ends, mine, side="right")
    inside = mine + SEED_LENGTH <= ends[owner]
    mine, owner = mine[inside], owner[inside]
    my_hash = packed(joined, SEED_LENGTH, TOKEN_BITS).astype(np.uint64)[mine + SEED_LENGTH - 1]
    theirs = np.arange(len(train) - SEED_LENGTH + 1)
    their_hash = packed(train, SEED_LENGTH, TOKEN_BITS).astype(np.uint64)[SEED_LENGTH - 1 :]
    best = [Span()] * len(texts)
    length = SEED_LENGTH
    while True:
        keep = np.isin(their_hash, my_hash)
        theirs, their_hash = theirs[keep], their_hash[keep]
        keep = np.isin(my_hash, their_hash)
        mine, owner, my_hash = mine[keep], owner[keep], my_hash[keep]
        if not len(mine):
            return best
        for position, text in zip(mine.tolist(), owner.tolist(), strict=True):
            best[text] = Span(position - int(ends[text]) + len(texts[text]), length)
        keep = theirs + length < len(train)
        theirs = theirs[keep]
        their_hash = their_hash[keep] * MULTIPLIER + train[theirs + length]
        keep = mine + length < ends[owner]
        mine, owner = mine[keep], owner[keep]
        my_hash = my_hash[keep] * MULTIPLIER + joined[mine + length]
        length += 1
