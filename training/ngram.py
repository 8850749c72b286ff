"""A token n-gram model with Witten-Bell interpolation: what the GPT-2 has to beat.

P_k(w | h) = (c(hw) + T(h) P_{k-1}(w | h')) / (c(h) + T(h)), with T(h) the
number of different words seen after h and h' the context without its oldest
token; P_0 is uniform. Witten and Bell (1991), in the form of Chen and Goodman (1999), section 2.6.
"""

import numpy as np

from training.rows import END, Tokens

KEY_BITS = 63
"""Bits of a packed key that an int64 has room for."""

Keys = np.ndarray[tuple[int], np.dtype[np.int64]]
Chances = np.ndarray[tuple[int], np.dtype[np.float64]]


def packed(tokens: Tokens, order: int, bits: int) -> Keys:
    """Pack each token, `bits` wide, and the `order - 1` before it, int64 (tokens,); before the first is `END`."""
    keys: Keys = np.zeros(len(tokens), dtype=np.int64)
    padded = np.concatenate([np.full(order - 1, END, dtype=np.int64), tokens])
    for i in range(order):
        keys = (keys << bits) | padded[i : i + len(tokens)]
    return keys


def found(table: Keys, values: Keys, keys: Keys) -> Keys:
    """Look `keys` up in a sorted `table`; 0 for those that are not in it."""
    at = np.minimum(np.searchsorted(table, keys), len(table) - 1)
    hits: Keys = np.where(table[at] == keys, values[at], 0)
    return hits


def chances(train: Tokens, text: Tokens, order: int, vocabulary: int) -> Chances:
    """Probability of every token of `text` given those before it, float64 (tokens,).

    `ValueError` when the order or the vocabulary does not fit a packed key.
    """
    bits = (vocabulary - 1).bit_length()
    if order * bits > KEY_BITS:
        message = f"order {order} over {vocabulary} tokens does not fit a packed key"
        raise ValueError(message)
    result: Chances = np.full(len(text), 1.0 / vocabulary)
    for k in range(1, order + 1):
        seen, counts = np.unique(packed(train, k, bits), return_counts=True)
        contexts, starts, kinds = np.unique(seen >> bits, return_index=True, return_counts=True)
        totals = np.add.reduceat(counts, starts)
        keys = packed(text, k, bits)
        kind = found(contexts, kinds, keys >> bits)
        total = found(contexts, totals, keys >> bits)
        mixed = (found(seen, counts, keys) + kind * result) / np.maximum(total + kind, 1)
        result = np.where(total > 0, mixed, result)
    return result
