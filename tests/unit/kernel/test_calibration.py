import math
import random

import pytest

from quire.calibration import BOUNDS, KINDS, LIMITS, Stretches, kind


def test_waits_of_different_length_are_different_kinds() -> None:
    assert [kind(seconds) for seconds in (0, *BOUNDS)] == list(range(KINDS))


def test_at_first_half_is_the_prediction_and_nine_tenths_twice_it() -> None:
    start = Stretches().start(9.0)

    assert (start.p50, start.p90) == (pytest.approx(9.0), pytest.approx(19.0))


def test_a_start_is_never_in_the_past_and_the_interval_never_turned_round() -> None:
    low, high = LIMITS
    odd = Stretches(p50=(high,) * KINDS, p90=(low,) * KINDS)

    assert odd.start(0.0).p90 == odd.start(0.0).p50
    assert Stretches(p50=(low,) * KINDS, p90=(low,) * KINDS).start(0.0).p50 == 0.0


@pytest.mark.parametrize("spread", [0.1, 0.5, 1.5])
def test_the_stretches_settle_where_half_and_nine_tenths_hold(spread: float) -> None:
    chance = random.Random(7)
    known = Stretches()
    held50 = held90 = 0
    for turn in range(6000):
        start = known.start(20.0)
        came = 21.0 * math.exp(chance.gauss(0.3, spread)) - 1.0
        known = known.learn(kind(20.0), within_p50=came <= start.p50, within_p90=came <= start.p90)
        held50 += turn >= 1000 and came <= start.p50
        held90 += turn >= 1000 and came <= start.p90

    assert held50 / 5000 == pytest.approx(0.5, abs=0.02)
    assert held90 / 5000 == pytest.approx(0.9, abs=0.02)


def test_what_is_learned_of_one_kind_does_not_change_another() -> None:
    known = Stretches().learn(0, within_p50=False, within_p90=False)

    assert known.start(1.0).p90 > Stretches().start(1.0).p90
    assert known.start(10.0) == Stretches().start(10.0)


def test_stretches_stay_within_limits() -> None:
    known = Stretches()
    for _ in range(1000):
        known = known.learn(1, within_p50=False, within_p90=False)

    assert known.p90[1] == known.p50[1] == LIMITS[1]
