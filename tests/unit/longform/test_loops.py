"""What is done against loops."""

import numpy as np

from worker.creative.longform.choosing import adherence, score
from worker.creative.longform.loops import NoRepeat, decayed, loops, repetition


def test_no_span_comes_a_second_time_also_across_the_beginning_of_a_window() -> None:
    guard = NoRepeat([1, 2, 3, 9, 1, 2], 3, vocabulary=10)

    allowed = guard.allowed()
    assert allowed is not None
    assert np.flatnonzero(~allowed).tolist() == [3]
    guard.accept(4)
    assert guard.allowed() is None
    for token in (1, 2):
        guard.accept(token)
    allowed = guard.allowed()
    assert allowed is not None
    assert np.flatnonzero(~allowed).tolist() == [3, 4]


def test_a_penalty_falls_by_half_with_each_half_life() -> None:
    assert decayed([5, 6, 7], 2.0, half_life=1) == {7: -2.0, 6: -1.0, 5: -0.5}
    assert decayed([5, 5], 2.0, half_life=1) == {5: -2.0}
    assert decayed([5], 0.0, half_life=1) == {}


def test_a_loop_is_a_span_of_twenty_tokens_at_its_third_time() -> None:
    span = list(range(20))

    assert not loops([*span, 99], span)
    assert loops([*span, 98, *span, 99], span)
    assert loops([*span, 98, *span, 99, *span[:7]], span[7:])
    assert not loops([*span, 98, *span, 99, *span], [50])


def test_repetition_is_the_share_of_spans_seen_before() -> None:
    assert repetition([1, 2, 1, 2, 1], 2) == 0.5
    assert repetition([1], 2) == 0.0


def test_the_score_prefers_what_is_likely_new_and_about_the_premise() -> None:
    def of(drawn: list[int], text: str = "", mean: float = -2.0) -> float:
        return score([1, 2, 3, 4], drawn, text=text, premise="A voyage north", mean_logprob=mean)

    assert of([5, 6, 7, 8]) > of([1, 2, 3, 4])
    assert of([5, 6, 7, 8], mean=-1.0) > of([5, 6, 7, 8])
    assert of([5, 6, 7, 8], "to the North") > of([5, 6, 7, 8])
    assert adherence("A voyage north", "The north, the voyage") == 1
    assert adherence("a b", "c") == 0
