import pytest

from quire.forms import compose


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
