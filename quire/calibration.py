"""How far a prediction may be off, learned from how earlier ones turned out.

A start predicted in t seconds is told as two times that stretch it:  (t + 1) * exp(stretch) - 1.  Each stretch is
a tracked quantile: every outcome moves it by a little, so that in the long run the share of starts that came in
time is the one wanted, whatever the errors look like and however they drift (adaptive conformal inference: Gibbs
& Candès, arXiv 2106.00170; as a quantile tracker: Angelopoulos, Candès & Tibshirani, arXiv 2307.16895).
Short and long waits err in different ways, and are learned apart.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

BOUNDS = (3.0, 30.0, 300.0)  # seconds, between the kinds of waits
KINDS = len(BOUNDS) + 1
STEP = 0.06  # of a stretch; larger follows faster, smaller wavers less
LIMITS = (-1.5, 4.0)
P50, P90 = 0.5, 0.9
AT_FIRST = {P50: 0.0, P90: math.log(2.0)}


@dataclass(frozen=True)
class Start:
    """Seconds until a start: within `p50` in half of all cases, within `p90` in nine of ten."""

    p50: float
    p90: float


@dataclass(frozen=True)
class Stretches:
    """What is learned: a stretch for each kind of wait."""

    p50: Sequence[float] = (AT_FIRST[P50],) * KINDS
    p90: Sequence[float] = (AT_FIRST[P90],) * KINDS

    def start(self, seconds: float) -> Start:
        which = kind(seconds)
        p50 = _stretched(seconds, self.p50[which])
        return Start(p50, max(p50, _stretched(seconds, self.p90[which])))

    def learn(self, which: int, *, within_p50: bool, within_p90: bool) -> "Stretches":
        """Return the stretches after the outcome of one prediction of a kind."""
        return Stretches(_moved(self.p50, which, P50, within_p50), _moved(self.p90, which, P90, within_p90))


def kind(seconds: float) -> int:
    """Return which kind of wait a prediction is, from 0."""
    return sum(seconds >= bound for bound in BOUNDS)


def _stretched(seconds: float, stretch: float) -> float:
    return max(0.0, (seconds + 1.0) * math.exp(stretch) - 1.0)


def _moved(stretches: Sequence[float], which: int, share: float, held: bool) -> tuple[float, ...]:
    """A miss moves by `share`, a hit back by the rest: they balance where `share` of all hold."""
    low, high = LIMITS
    moved = stretches[which] + STEP * (share - held)
    return (*stretches[:which], min(max(moved, low), high), *stretches[which + 1 :])
