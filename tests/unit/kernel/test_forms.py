import pytest

from quire.forms import TAGS, compose, knows


@pytest.mark.parametrize(
    ("form", "title", "theme", "style", "prompt"),
    [
        ("poem", None, "the sea", None, "A poem about the sea.\n\n"),
        ("story", None, "a lost key", None, "A story about a lost key.\n\n"),
        ("article", None, "tides", None, "An article about tides.\n\n"),
        ("poem", None, "rain", "epic", "An epic poem about rain.\n\n"),
        ("article", None, "rain", "short", "A short article about rain.\n\n"),
        ("story", None, "rain", "Icelandic", "An Icelandic story about rain.\n\n"),
        ("poem", "Ebb", None, None, "Ebb\n\n"),
        ("poem", "Ebb", None, "epic", "Ebb\n\n"),
        ("poem", "Ebb", "the sea", None, "Ebb\n\nA poem about the sea.\n\n"),
        ("poem", "Ebb", "the sea", "short", "Ebb\n\nA short poem about the sea.\n\n"),
        ("poem", None, None, None, ""),
    ],
)
def test_a_form_is_composed_to_the_letter(
    form: str, title: str | None, theme: str | None, style: str | None, prompt: str
) -> None:
    assert compose(form, title=title, theme=theme, style=style) == prompt


@pytest.mark.parametrize(
    ("form", "style", "prompt"),
    [
        ("poem", None, "<en><verse>Ebb|the sea\n"),
        ("story", None, "<en><story>Ebb|the sea\n"),
        ("story", "Icelandic", "<en><story>Ebb|Icelandic the sea\n"),
        ("article", None, "<en><speech>Ebb|the sea\n"),
    ],
)
def test_a_model_that_knows_tags_gets_the_header_it_was_trained_with(
    form: str, style: str | None, prompt: str
) -> None:
    assert compose(form, title="Ebb", theme="the sea", style=style, tagged=True) == prompt


@pytest.mark.parametrize(("tokens", "known"), [(2, True), (12, False)])
def test_a_model_knows_tags_if_each_is_one_token(tokens: int, known: bool) -> None:
    assert knows(lambda _: [(0, 1)] * tokens, TAGS["verse"]) is known
