import random

import pytest

from training import clean, config

ENGLISH = "And the light of the moon was with her in the wood"
SPANISH = "Que el sol engendra en el indio suelo y que conduce"


@pytest.mark.parametrize(
    ("raw", "tidied"),
    [
        ("  _The_  sea ", "The sea"),
        ("Cafe\u0301 of old", "Caf\u00e9 of old"),
        ("\u201cI\u2019ll go\u201d\u2014he said", '"I\'ll go"--he said'),
        ("The sea [3] was calm", "The sea was calm"),
        ("BOOK THE FIRST", None),
        ("In 1805 he died", None),
        ("* * *", None),
        ("x" * 91, None),
    ],
)
def test_a_line_is_tidied_or_dropped(raw: str, tidied: str | None) -> None:
    assert clean.tidy(raw, 90) == tidied


def test_a_foreign_passage_goes_and_the_english_around_it_stays() -> None:
    lines = [ENGLISH] * 20 + [SPANISH] * 20 + [ENGLISH] * 20

    kept = clean.english(lines, window=2, least=0.15)

    assert kept.count(ENGLISH) == 40
    assert kept.count(SPANISH) <= 4


def test_a_repeated_passage_is_dropped_whatever_its_place() -> None:
    poem = ["one dove", "two doves", "three doves", "four doves"]
    lines = [*poem, "a lone line", *poem[1:], "the end"]

    assert clean.first_passages(lines, 3) == [*poem, "a lone line", "the end"]


def test_a_refrain_shorter_than_a_passage_stays() -> None:
    lines = ["hey ho", "the wind", "one", "hey ho", "the wind", "two"]

    assert clean.first_passages(lines, 3) == lines


def test_regions_cover_the_stream_once_and_do_not_overlap() -> None:
    parts = clean.regions(10_007, parts=100, held_out=7, seed=1)

    assert [i for part, _ in parts for i in part] == list(range(10_007))
    assert sum(flag for _, flag in parts) == 7


def test_regions_are_the_same_for_the_same_seed() -> None:
    assert clean.regions(999, 50, 5, seed=3) == clean.regions(999, 50, 5, seed=3)
    assert clean.regions(999, 50, 5, seed=3) != clean.regions(999, 50, 5, seed=4)


def test_blocks_keep_the_order_of_lines_and_end_where_a_sentence_does() -> None:
    lines = [f"line {i}{'.' if i % 3 == 2 else ','}" for i in range(200)]
    sizes = config.Blocks(shortest=8, longest=12, run_on=4)

    blocks = list(clean.cut(lines, sizes, random.Random(1)))

    joined = [line for block in blocks for line in block]
    assert joined == lines[: len(joined)]
    assert len(lines) - len(joined) < sizes.shortest
    assert all(block[-1].endswith(".") for block in blocks[:-1])
    assert all(8 <= len(block) <= 16 for block in blocks)


def test_a_held_out_block_that_shares_a_long_line_with_training_is_dropped() -> None:
    trained = [["The curfew tolls the knell of parting day,", "Hey ho"]]
    held_out = [["THE CURFEW tolls the knell of parting day"], ["Hey ho", "Another line altogether here"]]

    assert clean.unseen(held_out, trained, 5) == held_out[1:]
