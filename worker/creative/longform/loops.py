"""Against loops: spans that may not come again, tokens that were used of late, and the measure of a loop."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

LOOP_TOKENS: Final = 20
LOOP_TIMES: Final = 3
MOST_PENALISED: Final = 512  # tokens, the latest
MULTIPLIER: Final = 6364136223846793005  # Knuth's, of a generator modulo 2^64


class Spans:
    """The spans of `n` tokens of a book that grows, found by their beginnings: all but the last token of each.

    Kept for the book, since to go through all of it at each window would come to take longer than the window. In
    16 bytes a token, since there may be many: the hashes of the beginnings in order, and where each stands.
    """

    def __init__(self, n: int) -> None:
        self.known = n - 1  # tokens of a beginning
        self._tokens = np.empty(0, dtype=np.uint32)
        self._hashes = np.empty(0, dtype=np.uint64)
        self._places = np.empty(0, dtype=np.int32)

    def __len__(self) -> int:
        """Return the tokens of the book."""
        return len(self._tokens)

    @property
    def last(self) -> tuple[int, ...]:
        """The last tokens, as many as a beginning has."""
        return tuple(self._tokens[-self.known :].tolist())

    def extend(self, tokens: Sequence[int]) -> None:
        """Add what the book has gained."""
        first = max(0, len(self._tokens) - self.known)  # the first beginning that nothing stood behind yet
        self._tokens = np.concatenate([self._tokens, np.asarray(tokens, dtype=np.uint32)])
        hashes = _hashes(self._tokens[first:-1], self.known)
        order = np.argsort(hashes, kind="stable")
        at = np.searchsorted(self._hashes, hashes[order])
        self._hashes = np.insert(self._hashes, at, hashes[order])
        self._places = np.insert(self._places, at, first + order)

    def behind(self, beginning: Sequence[int]) -> set[int]:
        """Return the tokens that stood behind a beginning."""
        found: set[int] = set()
        if len(beginning) < self.known:
            return found
        hashed = np.uint64(_hash(beginning))
        index = int(np.searchsorted(self._hashes, hashed))
        while index < len(self._hashes) and self._hashes[index] == hashed:
            end = self._places[index] + self.known
            if self._tokens[end - self.known : end].tolist() == list(beginning):  # others may have the same hash
                found.add(int(self._tokens[end]))
            index += 1
        return found


def _hash(tokens: Iterable[int]) -> int:
    """Return a polynomial of the tokens modulo 2^64."""
    hashed = 0
    for token in tokens:
        hashed = (hashed * MULTIPLIER + token) % 2**64
    return hashed


def _hashes(tokens: NDArray[np.uint32], length: int) -> NDArray[np.uint64]:
    """Return the same of each span of so many tokens."""
    hashes = np.zeros(max(0, len(tokens) - length + 1), dtype=np.uint64)
    for start in range(length):
        hashes = hashes * np.uint64(MULTIPLIER) + tokens[start : start + len(hashes)]
    return hashes


class NoRepeat:
    """A constraint that lets no span come a second time in a book: none of `spans`, and none of its own."""

    def __init__(self, spans: Spans, vocabulary: int) -> None:
        self._spans = spans
        self._vocabulary = vocabulary
        self._last = spans.last
        self._behind: defaultdict[tuple[int, ...], set[int]] = defaultdict(set)

    def allowed(self) -> NDArray[np.bool_] | None:
        banned = self._spans.behind(self._last) | self._behind.get(self._last, set())
        if not banned:
            return None
        mask = np.ones(self._vocabulary, dtype=np.bool_)
        mask[list(banned)] = False
        return mask

    def accept(self, token: int) -> None:
        if len(self._last) == self._spans.known:
            self._behind[self._last].add(token)
        self._last = (*self._last, token)[-self._spans.known :]


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
