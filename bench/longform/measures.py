"""What is measured of a book: loops, repetition, how it compresses, and how odd an n-gram model finds it."""

import math
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence

from worker.creative.longform.choosing import adherence
from worker.creative.longform.loops import LOOP_TIMES, LOOP_TOKENS, spans

WINDOW = 256  # tokens: lengths must be equal where shares are compared


def has_loop(tokens: Sequence[int]) -> bool:
    return any(count >= LOOP_TIMES for count in Counter(spans(tokens, LOOP_TOKENS)).values())


def windows(tokens: Sequence[int]) -> list[Sequence[int]]:
    return [tokens[at : at + WINDOW] for at in range(0, len(tokens) - WINDOW + 1, WINDOW)]


def zlib_ratio(text: str) -> float:
    data = text.encode()
    return len(zlib.compress(data, 9)) / max(1, len(data))


def band(values: Iterable[float]) -> tuple[float, float]:
    """Return the 5th and the 95th percentile."""
    found = sorted(values)
    return found[len(found) * 5 // 100], found[len(found) * 95 // 100]


def self_bleu(parts: Sequence[Sequence[int]], n: int = 4) -> float:
    """Return the mean share of a part's 4-grams that other parts have; nan with one part."""
    shares = []
    for index, part in enumerate(parts):
        others = {span for other, tokens in enumerate(parts) if other != index for span in spans(tokens, n)}
        own = spans(part, n)
        if own and len(parts) > 1:
            shares.append(sum(span in others for span in own) / len(own))
    return mean(shares)


def terms_recur(premise: str, texts: Sequence[str]) -> float:
    return mean([adherence(premise, text) for text in texts])


def mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found) if found else math.nan


class NGrams:
    """A trigram model of human text, interpolated with shorter ones: it knows nothing of the model measured."""

    def __init__(self, texts: Iterable[Sequence[int]], vocabulary: int) -> None:
        self._vocabulary = vocabulary
        self._counts: list[Counter[tuple[int, ...]]] = [Counter(), Counter(), Counter()]
        self._total = 0
        for tokens in texts:
            self._total += len(tokens)
            for n, counts in enumerate(self._counts, start=1):
                counts.update(spans(tokens, n))

    def perplexity_of(self, texts: Iterable[Sequence[int]]) -> float:
        """Return the perplexity of a token, over all of the texts."""
        return math.exp(-mean(math.log(self._probability(span)) for text in texts for span in spans(text, 3)))

    def _probability(self, span: tuple[int, ...]) -> float:
        one, two, three = self._counts
        a, b, c = span
        known = (
            0.6 * three[a, b, c] / two[a, b] if two[a, b] else 0.0,
            0.25 * two[b, c] / one[b,] if one[b,] else 0.0,
            0.1 * one[c,] / self._total,
            0.05 / self._vocabulary,
        )
        return sum(known)
