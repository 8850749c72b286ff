"""What is done against loops."""

import random

import numpy as np
import pytest

from worker.creative.longform import loops as guards
from worker.creative.longform.choosing import adherence, score
from worker.creative.longform.loops import NoRepeat, Spans, decayed, loops, repetition


def spans_of(tokens: list[int], n: int) -> Spans:
    spans = Spans(n)
    spans.extend(tokens)
    return spans


def test_no_span_comes_a_second_time_also_across_the_beginning_of_a_window() -> None:
    guard = NoRepeat(spans_of([1, 2, 3, 9, 1, 2], 3), vocabulary=10)

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


@pytest.mark.parametrize("n", [2, 3, 12])
def test_what_stood_behind_a_span_is_known_however_the_book_grew(n: int) -> None:
    chance = random.Random(n)
    tokens = [chance.randrange(3) for _ in range(400)]
    spans, end = Spans(n), 0
    while end < len(tokens):
        begun, end = end, min(len(tokens), end + chance.randrange(40))
        spans.extend(tokens[begun:end])
        so_far = tokens[:end]
        assert list(spans.last) == so_far[-(n - 1) :]
        beginnings = [so_far[at : at + n - 1] for at in range(len(so_far) - n + 2)]
        for beginning in chance.sample(beginnings, min(9, len(beginnings))):
            behind = {so_far[at + n - 1] for at in range(end - n + 1) if so_far[at : at + n - 1] == beginning}
            assert spans.behind(beginning) == behind


def test_spans_of_the_same_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "MULTIPLIER", 1)

    assert spans_of([1, 2, 7, 2, 1, 8], 3).behind([1, 2]) == {7}


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
