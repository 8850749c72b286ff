"""Uniform numbers as a pure function of what they are drawn for.

The generator is Philox4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as
1, 2, 3" (SC 2011). It has no state: a text can be continued from any token, on any worker, in any company.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (np.uint32(0x9E3779B9), np.uint32(0xBB67AE85))
_ROUNDS = 10
_LOW = np.uint64(0xFFFFFFFF)
_WORD = np.uint64(32)

Words = NDArray[np.uint32]


def philox(counter: Words, key: Words) -> Words:
    """Return Philox4x32-10 of each row. Shapes: counter (n, 4), key (n, 2), result (n, 4)."""
    c0, c1, c2, c3 = counter.T
    k0, k1 = key.T.copy()
    for _ in range(_ROUNDS):
        first = c0.astype(np.uint64) * _MULTIPLIERS[0]
        second = c2.astype(np.uint64) * _MULTIPLIERS[1]
        c0, c1, c2, c3 = (
            _high(second) ^ c1 ^ k0,
            _low(second),
            _high(first) ^ c3 ^ k1,
            _low(first),
        )
        k0, k1 = k0 + _WEYL[0], k1 + _WEYL[1]  # modulo 2**32
    return np.stack((c0, c1, c2, c3), axis=1)


def uniforms(draws: Sequence[tuple[int, int, int, int, int]]) -> NDArray[np.float64]:
    """Return one number in [0, 1) with 53 random bits for each (seed, sample, position, retry, attempt).

    `seed` counts modulo 2**64, the others modulo 2**32. `attempt` numbers the redraws of one position.
    """
    counter = np.array(
        [
            [word & 0xFFFFFFFF for word in (position, attempt, sample, retry)]
            for _, sample, position, retry, attempt in draws
        ],
        dtype=np.uint32,
    ).reshape(-1, 4)
    key = np.array([[seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF] for seed, *_ in draws], dtype=np.uint32).reshape(
        -1, 2
    )
    return uniforms_at(counter, key)


def uniforms_at(counter: Words, key: Words) -> NDArray[np.float64]:
    """The same, of what is laid out already: (position, attempt, sample, retry) and the two halves of the seed."""
    words = philox(counter, key).astype(np.uint64)
    bits = (words[:, 0] << _WORD | words[:, 1]) >> np.uint64(11)
    return bits.astype(np.float64) * 2.0**-53


def _high(product: NDArray[np.uint64]) -> Words:
    return (product >> _WORD).astype(np.uint32)


def _low(product: NDArray[np.uint64]) -> Words:
    return (product & _LOW).astype(np.uint32)
