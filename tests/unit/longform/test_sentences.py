"""Where sentences and lines end."""

import pytest

from worker.creative.longform.sentences import completed, ends, whole_words


def cut_at_ends(text: str, *, verse: bool = False) -> list[str]:
    return [text[:end] for end in ends(text, verse=verse)]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("It rained. She left", ["It rained."]),
        ('"Go!" he said. "Now." Then', ['"Go!"', '"Go!" he said.', '"Go!" he said. "Now."']),
        ("Mr. Gray came. J. Smith too. Well", ["Mr. Gray came.", "Mr. Gray came. J. Smith too."]),
        ("It cost 3.50 and", []),
        ("It rained.", []),  # it may be followed by anything
        ("下雨了。她走了", ["下雨了。"]),
        ("“走。”他说。好", ["“走。”", "“走。”他说。"]),
    ],
)
def test_sentences_end_where_something_else_begins(text: str, sentences: list[str]) -> None:
    assert cut_at_ends(text) == sentences


def test_lines_of_verse_end_with_themselves() -> None:
    assert cut_at_ends("The sea. The\nnight is\nlo", verse=True) == ["The sea. The", "The sea. The\nnight is"]


def test_a_text_is_completed_behind_the_length_it_was_to_have() -> None:
    text = "One. Two. Three. Fo"

    assert completed(text, 6, earliest=0, verse=False) == len("One. Two.")
    assert completed(text, 17, earliest=5, verse=False) == len("One. Two. Three.")
    assert completed(text, 17, earliest=17, verse=False) is None


def test_without_an_end_whole_words_are_kept() -> None:
    assert whole_words("one two thr", 0) == len("one two")
    assert whole_words("one two thr", 9) == 9
