"""The first line of every document that our own checkpoints were trained on.

A document is one header line, its text, and ``<|endoftext|>``. Whoever trains and
whoever writes prompts composes the header here, so that both spell it alike:

- ``<en><verse>{title}|{theme}``, or ``<en><verse><iambic tetrameter>{title}|{theme}``;
- ``<en><story>``, ``<en><drama>`` and ``<en><speech>``, likewise without a meter;
- ``<zh><五绝>{title}|{author}``, likewise 七绝 五律 七律 诗 词 曲 文; ``<zh><词><水调歌头>{title}|{author}``;
- ``<jig><6/8><G major>{title}``, a tune in ABC with a unit note length of 1/8.

Title, theme and author may be empty; the bar between them stays. English verse and
Chinese forms have one line of verse on each line of text, Chinese ones with their
punctuation at the end. A tune's text has no ABC header fields: code composes them.
"""

import re
from collections.abc import Sequence
from typing import Final

METERS: Final = (
    "iambic trimeter",
    "iambic tetrameter",
    "iambic pentameter",
    "trochaic tetrameter",
    "ballad meter",
)
"""Meters of English verse that a model knows; ballad meter alternates four and three iambs."""

STYLES: Final = (
    "air",
    "clog",
    "country dance",
    "fling",
    "hornpipe",
    "jig",
    "long dance",
    "march",
    "minuet",
    "polka",
    "reel",
    "slide",
    "slip jig",
    "song",
    "strathspey",
    "tune",
    "waltz",
)
"""Styles of tunes; ``tune`` where it is not known."""

UNIT_LENGTH: Final = "1/8"
"""The ``L:`` of every tune."""

_RESERVED = re.compile(r"[<>|\s]+")


def plain(text: str) -> str:
    """Take out what would end a field or the header: ``<``, ``>``, ``|`` and line breaks."""
    return _RESERVED.sub(" ", text).strip()


def theme_line(words: Sequence[str]) -> str:
    """Join one to three theme words as the models were taught: `a`, `a and b`, `a, b and c`."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def verse(title: str = "", theme: str = "", meter: str = "") -> str:
    """The header of English verse; `meter` is one of `METERS`, or empty for any."""
    tag = f"<{meter}>" if meter else ""
    return f"<en><verse>{tag}{plain(title)}|{plain(theme)}\n"


def story(title: str = "", theme: str = "") -> str:
    """The header of English narrative prose, a paragraph a line."""
    return f"<en><story>{plain(title)}|{plain(theme)}\n"


def drama(title: str = "", theme: str = "") -> str:
    """The header of an English scene: ``NAME. speech``, stage directions in brackets."""
    return f"<en><drama>{plain(title)}|{plain(theme)}\n"


def speech(title: str = "", theme: str = "") -> str:
    """The header of an English speech, a paragraph a line."""
    return f"<en><speech>{plain(title)}|{plain(theme)}\n"


def chinese(form: str, title: str = "", author: str = "", pattern: str = "") -> str:
    """The header of a Chinese text; `pattern` is the 词牌 of a 词, or empty."""
    tag = f"<{plain(pattern)}>" if pattern else ""
    return f"<zh><{form}>{tag}{plain(title)}|{plain(author)}\n"


def tune(style: str, meter: str, key: str, title: str = "") -> str:
    """The header of a tune: a style of `STYLES`, a meter such as ``6/8``, a key such as ``A dorian``."""
    return f"<{style}><{meter}><{key}>{plain(title)}\n"
