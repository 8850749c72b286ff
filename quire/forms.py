"""The forms of text: each builds the prompt that a GPT-2 continues in that form.

The shipped checkpoint was trained with the poem's two headers; models trained on the open web read all three
as the openings they are.
"""

from quire.spec import Form

VOWELS = tuple("aeiouAEIOU")


def compose(form: Form, *, title: str | None, theme: str | None, style: str | None) -> str:
    """Build the prompt of a form from a title, a theme or both, and a style."""
    heading = f"{title}\n\n" if title else ""
    if theme is None:
        return heading
    kind = f"{style} {form}" if style else form
    article = "An" if kind.startswith(VOWELS) else "A"
    return f"{heading}{article} {kind} about {theme}.\n\n"
