"""Against loops: spans that may not come again, tokens that were used of late, and the measure of a loop."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

LOOP_TOKENS: Final = 20
LOOP_TIMES: Final = 3
MOST_PENALISED: Final = 512  # tokens, the latest


class NoRepeat:
    """A constraint that lets no span of `n` tokens come a second time in a book."""

    def __init__(self, before: Iterable[int], n: int, vocabulary: int) -> None:
        self._n = n
        self._vocabulary = vocabulary
        self._last: list[int] = []
        self._behind: defaultdict[tuple[int, ...], set[int]] = defaultdict(set)
        for token in before:
            self.accept(token)

    def allowed(self) -> NDArray[np.bool_] | None:
        banned = self._behind.get(tuple(self._last)) if len(self._last) == self._n - 1 else None
        if not banned:
            return None
        mask = np.ones(self._vocabulary, dtype=np.bool_)
        mask[list(banned)] = False
        return mask

    def accept(self, token: int) -> None:
        if len(self._last) == self._n - 1:
            self._behind[tuple(self._last)].add(token)
        self._last = [*self._last, token][-(self._n - 1) :]


def decayed(before: Sequence[int], strength: float, half_life: int) -> dict[int, float]:
    """Return what is added to the logit of each token used before: -strength at once, half a half-life later."""
    if not strength:
        return {}
    found: dict[int, float] = {}
    for distance, token in enumerate(reversed(before)):
        if token not in found:
            found[token] = -strength * 0.5 ** (distance / half_life)
            if len(found) == MOST_PENALISED:
                break
    return found


def spans(tokens: Sequence[int], n: int) -> list[tuple[int, ...]]:
    return list(zip(*(tokens[start:] for start in range(n)), strict=False))


def repetition(tokens: Sequence[int], n: int) -> float:
    """Return rep-n: the share of spans that came before among these tokens; 0 where there are none."""
    found = spans(tokens, n)
    return 1 - len(set(found)) / len(found) if found else 0.0


def loops(before: Sequence[int], new: Sequence[int]) -> bool:
    """Whether the new tokens bring a span of 20 tokens to its third time in the book."""
    counted = Counter(spans([*before, *new], LOOP_TOKENS))
    own = spans([*before[-LOOP_TOKENS + 1 :], *new], LOOP_TOKENS)
    return any(counted[span] >= LOOP_TIMES for span in own)
