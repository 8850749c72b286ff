"""Which of several draws of a window is kept: the one with the best score.

    score = mean log-probability - 4 rep-4 + distinct-3 + 0.2 terms

mean log-probability in the model itself, per token; rep-4 and distinct-3 over the last 512 tokens of the book and
the draw; terms: the share of the premise's words of five letters and more that the draw has.
"""

import re
from collections.abc import Sequence

from worker.creative.longform.loops import repetition

SIGHT = 512  # tokens before the draw that count
_TERM = re.compile(r"[^\W\d_]{5,}")


def terms(premise: str) -> frozenset[str]:
    return frozenset(word.lower() for word in _TERM.findall(premise))


def adherence(premise: str, text: str) -> float:
    """Return the share of the premise's terms that a text has; 0 if the premise has none."""
    wanted = terms(premise)
    return len(wanted & terms(text)) / len(wanted) if wanted else 0.0


def score(before: Sequence[int], drawn: Sequence[int], *, text: str, premise: str, mean_logprob: float) -> float:
    seen = [*before[-SIGHT:], *drawn]
    distinct = 1 - repetition(seen, 3)
    return mean_logprob - 4 * repetition(seen, 4) + distinct + 0.2 * adherence(premise, text)
