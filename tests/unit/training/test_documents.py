import random
from collections import Counter

import pytest

from training import config, documents, themes
from training.headers import header, theme_line

BLOCK = "The sea was loud, the bitter sea;\nA sail upon the morning sea,\nAnd hope was in the night."
RARITY = {"sea": 2.5, "hope": 3.0, "night": 2.1, "sail": 4.0}


@pytest.mark.parametrize(
    ("title", "theme", "text"),
    [
        ("", "", ""),
        ("", "sea", "A poem about sea.\n\n"),
        ("The Bitter Sea", "", "The Bitter Sea\n\n"),
        ("The Bitter Sea", "sea and hope", "The Bitter Sea\n\nA poem about sea and hope.\n\n"),
    ],
)
def test_a_header_takes_one_of_four_forms(title: str, theme: str, text: str) -> None:
    assert header(title, theme) == text


@pytest.mark.parametrize(
    ("words", "line"),
    [(["sea"], "sea"), (["sea", "hope"], "sea and hope"), (["sea", "hope", "sail"], "sea, hope and sail")],
)
def test_theme_words_are_joined_as_a_reader_would(words: list[str], line: str) -> None:
    assert theme_line(words) == line


def test_theme_words_are_different_words_of_the_block() -> None:
    for seed in range(50):
        words = themes.theme_words(BLOCK, RARITY, 3, random.Random(seed))

        assert 1 <= len(words) == len(set(words)) <= 3
        assert all(word in BLOCK for word in words)


def test_a_block_without_theme_words_has_none() -> None:
    assert themes.theme_words("Hey nonny no", RARITY, 3, random.Random(1)) == []


def test_a_title_is_a_phrase_of_the_block_in_title_case() -> None:
    titles = {themes.title(BLOCK, RARITY, random.Random(seed)) for seed in range(50)}

    assert titles == {"The Sea Was Loud", "The Bitter Sea"}


def test_a_block_without_a_fitting_phrase_has_no_title() -> None:
    assert themes.title("Hey nonny no", RARITY, random.Random(1)) == ""


def test_nouns_are_told_from_verbs_by_their_neighbours() -> None:
    shares = themes.noun_like(["the sea, my sea\nI wander, we wander", "of sea and wander on"])

    assert shares["sea"] == 1.0
    assert shares["wander"] == 0.0


def test_document_shapes_follow_their_shares_and_the_seed() -> None:
    settings = config.load().documents
    drawn = list(documents.documents([BLOCK] * 2000, RARITY, settings, seed=5))

    shares = Counter(shape for shape, _ in drawn)
    assert shares["bare"] == pytest.approx(700, abs=80)
    assert shares["theme"] == pytest.approx(700, abs=80)
    assert shares["title"] == pytest.approx(300, abs=60)
    assert all(text.endswith(BLOCK) for _, text in drawn)
    assert drawn == list(documents.documents([BLOCK] * 2000, RARITY, settings, seed=5))
