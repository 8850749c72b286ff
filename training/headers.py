"""The header of a verse document: one format for training, serving and the model card."""

from collections.abc import Sequence


def theme_line(words: Sequence[str]) -> str:
    """Join one to three theme words as the model was taught: `a`, `a and b`, `a, b and c`."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def header(title: str = "", theme: str = "") -> str:
    """Text that goes before a poem's first line; empty without title and theme.

    The four forms, each part ended by an empty line:

    - no title, no theme: nothing
    - theme: ``A poem about {theme}.``
    - title: ``{title}``
    - both: ``{title}``, then ``A poem about {theme}.``

    A document is ``header + lines joined by newlines + <|endoftext|>``.
    """
    parts = [title] if title else []
    if theme:
        parts.append(f"A poem about {theme}.")
    return "".join(f"{part}\n\n" for part in parts)
