import random

import pytest

from training.text import chinese, corpus, meter, themes
from training.text.verse import Settings, cut, english, first_passages, regions, tidy, told, unseen

ENGLISH = "And the light of the moon was with her in the wood"
SPANISH = "Que el sol engendra en el indio suelo y que conduce"
BLOCK = "The sea was loud, the bitter sea;\nA sail upon the morning sea,\nAnd hope was in the night."
RARITY = {"sea": 2.5, "hope": 3.0, "night": 2.1, "sail": 4.0}
SIZES = Settings("", 90, 2, 0.15, 3, 100, 7, 5, shortest=8, longest=12, run_on=4)
JUEJU = ["床前明月光，疑是地上霜。", "举头望明月，低头思故乡。"]


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
    assert tidy(raw, 90) == tidied


def test_a_foreign_passage_goes_and_the_english_around_it_stays() -> None:
    lines = [told(text) for text in [ENGLISH] * 20 + [SPANISH] * 20 + [ENGLISH] * 20]

    kept = [line.text for line in english(lines, window=2, least=0.15)]

    assert kept.count(ENGLISH) == 40
    assert kept.count(SPANISH) <= 4


def test_a_repeated_passage_is_dropped_and_a_refrain_stays() -> None:
    poem = ["one dove", "two doves", "three doves", "four doves"]
    lines = [told(text) for text in [*poem, "a lone line", *poem[1:], "hey ho", "one", "hey ho"]]

    kept = [line.text for line in first_passages(lines, 3)]

    assert kept == [*poem, "a lone line", "hey ho", "one", "hey ho"]


def test_regions_cover_the_stream_once_and_are_the_same_for_a_seed() -> None:
    parts = regions(10_007, parts=100, held_out=7, seed=1)

    assert [i for part, _ in parts for i in part] == list(range(10_007))
    assert sum(flag for _, flag in parts) == 7
    assert parts == regions(10_007, 100, 7, seed=1) != regions(10_007, 100, 7, seed=2)


def test_blocks_keep_the_order_of_lines_and_end_where_a_sentence_does() -> None:
    lines = [told(f"line {i}{'.' if i % 3 == 2 else ','}") for i in range(200)]

    blocks = list(cut(lines, SIZES, random.Random(1)))

    joined = [line for block in blocks for line in block]
    assert joined == lines[: len(joined)]
    assert all(block[-1].text.endswith(".") for block in blocks[:-1])
    assert all(8 <= len(block) <= 16 for block in blocks)


def test_a_held_out_block_that_shares_a_long_line_with_training_is_dropped() -> None:
    trained = [[told("The curfew tolls the knell of parting day,"), told("Hey ho")]]
    held_out = [[told("THE CURFEW tolls the knell of parting day")], [told("Hey ho"), told("Another line here")]]

    assert unseen(held_out, trained, 5) == held_out[1:]


def test_theme_words_are_different_words_of_the_block() -> None:
    for seed in range(50):
        words = themes.theme_words(BLOCK, RARITY, 3, random.Random(seed))

        assert 1 <= len(words) == len(set(words)) <= 3
        assert all(word in BLOCK for word in words)


def test_a_title_is_a_phrase_of_the_block_in_title_case() -> None:
    titles = {themes.title(BLOCK, RARITY, random.Random(seed)) for seed in range(50)}

    assert titles == {"The Sea Was Loud", "The Bitter Sea"}


STRESSES = {"delight": "01", "about": "01", "again": "01", "wonder": "10", "water": "10", "never": "10"}


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("delight about again delight", "iambic tetrameter"),
        ("delight about again", "iambic trimeter"),
        ("delight about again delight again", "iambic pentameter"),
        ("wonder water never wonder", "trochaic tetrameter"),
        ("delight wonder again water", ""),
        ("the sun the moon the sea the sky", ""),
    ],
)
def test_the_meter_of_a_block_is_told_by_its_long_words(line: str, name: str) -> None:
    assert meter.meter_of([line] * 6, STRESSES) == name


def test_ballad_meter_alternates_four_and_three_iambs() -> None:
    lines = ["delight about again delight", "delight about again"] * 4

    assert meter.meter_of(lines, STRESSES) == "ballad meter"


def test_a_dictionary_keeps_the_first_pronunciation() -> None:
    assert meter.read_dictionary("ABOUT  AH0 B AW1 T\nABOUT(1)  AH1 B\n") == {"about": "01"}


@pytest.mark.parametrize(
    ("paragraphs", "form"),
    [
        (JUEJU, "五绝"),
        (JUEJU * 2, "五律"),
        (["山中相送罢，日暮掩柴扉。"], "诗"),
        (["朝辞白帝彩云间，千里江陵一日还。", "两岸猿声啼不住，轻舟已过万重山。"], "七绝"),
    ],
)
def test_a_chinese_form_is_told_by_its_exact_lines(paragraphs: list[str], form: str) -> None:
    assert chinese.form_of(chinese.verse_lines(paragraphs)) == form


def test_a_broken_chinese_poem_has_no_lines() -> None:
    assert chinese.verse_lines(["床前□月光，疑是地上霜。"]) == ()


def poem(*lines: str, title: str = "") -> chinese.Poem:
    return chinese.Poem("zh-shi", "诗", title, "", lines)


def test_a_held_out_poem_shares_no_two_lines_with_a_training_poem() -> None:
    poems = [poem(*(f"{n}句{i}。" for i in range(4))) for n in range(200)]
    poems += [poem(*(f"{n}句{i}。" for i in range(3)), "另。") for n in range(0, 200, 2)]

    train, validation = corpus.split(poems, 0.3, random.Random(1))

    known = {pair for one in train for pair in corpus.pairs(one)}
    assert train
    assert validation
    assert not any(corpus.pairs(one) & known for one in validation)
