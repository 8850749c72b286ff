import numpy as np
import pytest

from training import ngram
from training.held_out import bands
from training.overlap import Span, longest_spans
from training.text.measuring import theme_hits


def tokens(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.uint16)


def test_ngram_chances_of_all_words_sum_to_one() -> None:
    train = np.random.default_rng(1).integers(0, 8, 500).astype(np.uint16)
    context = [3, 1, 4]

    total = sum(ngram.chances(train, tokens(*context, word), 4, 8)[-1] for word in range(8))

    assert total == pytest.approx(1.0)


def test_a_bigram_chance_is_the_witten_bell_mixture() -> None:
    train = tokens(1, 2, 1, 2, 1, 3)  # after 1: 2 twice, 3 once; words: 1 x3, 2 x2, 3 x1

    chance = ngram.chances(train, tokens(1, 2), 2, 4)[-1]

    unigram = (2 + 3 * 1 / 4) / (6 + 3)
    assert chance == pytest.approx((2 + 2 * unigram) / (3 + 2))


def test_an_order_that_does_not_fit_its_key_is_refused() -> None:
    with pytest.raises(ValueError, match="order 5"):
        ngram.chances(tokens(1), tokens(1), 5, 5000)


def by_hand(text: np.ndarray, train: np.ndarray) -> int:
    whole = " " + " ".join(map(str, train.tolist())) + " "
    spans = [
        j - i
        for i in range(len(text))
        for j in range(i + 4, len(text) + 1)
        if " " + " ".join(map(str, text[i:j].tolist())) + " " in whole
    ]
    return max(spans, default=0)


def test_the_longest_shared_span_is_what_a_search_by_hand_finds() -> None:
    draw = np.random.default_rng(2)
    train = draw.integers(0, 4, 400).astype(np.uint16)
    texts = [draw.integers(0, 4, n).astype(np.uint16) for n in (0, 3, 4, 30, 60, 90)]
    texts.append(train[100:150])

    spans = longest_spans(texts, train)

    assert [span.length for span in spans] == [by_hand(text, train) for text in texts]
    assert spans[-1] == Span(0, 50)


def test_a_shared_span_does_not_run_from_one_text_into_the_next() -> None:
    train = tokens(*range(1, 21))

    spans = longest_spans([train[:10], train[10:]], train)

    assert spans == [Span(0, 10), Span(0, 10)]


def test_bands_average_the_positions_they_name() -> None:
    assert bands(np.array([[1.0, 3.0, 5.0]]), 2) == {"0-1": 2.0, "2-2": 5.0}


def test_theme_hits_count_the_words_asked_for() -> None:
    headers = ["<en><verse>|sea and sand\n", "<zh><五绝>|\n", "<en><verse>The Mill|wheel\n"]

    assert theme_hits(headers, ["the sea!", "sand", "Wheel on wheel"]) == pytest.approx(2 / 3, abs=1e-3)
    assert theme_hits(["<en><verse>|\n"], ["the sea"]) is None
