import pytest

from quire import headers


@pytest.mark.parametrize(
    ("header", "line"),
    [
        (headers.verse(), "<en><verse>|\n"),
        (headers.verse("The Sea", "sea and hope"), "<en><verse>The Sea|sea and hope\n"),
        (headers.verse(theme="sea", meter="ballad meter"), "<en><verse><ballad meter>|sea\n"),
        (headers.story(theme="winter"), "<en><story>|winter\n"),
        (headers.drama("A Wood"), "<en><drama>A Wood|\n"),
        (headers.speech(), "<en><speech>|\n"),
        (headers.chinese("五绝", "秋夜", "李白"), "<zh><五绝>秋夜|李白\n"),
        (headers.chinese("词", pattern="水调歌头"), "<zh><词><水调歌头>|\n"),
        (headers.tune("jig", "6/8", "G major", "The Kettle"), "<jig><6/8><G major>The Kettle\n"),
    ],
)
def test_a_header_is_one_line_of_tags_and_fields(header: str, line: str) -> None:
    assert header == line


def test_a_title_cannot_end_its_field_or_its_header() -> None:
    assert headers.verse("A|B\n<C>", "d\r\ne") == "<en><verse>A B C|d e\n"


@pytest.mark.parametrize(
    ("words", "line"),
    [(["sea"], "sea"), (["sea", "hope"], "sea and hope"), (["sea", "hope", "sail"], "sea, hope and sail")],
)
def test_theme_words_are_joined_as_a_reader_would(words: list[str], line: str) -> None:
    assert headers.theme_line(words) == line
