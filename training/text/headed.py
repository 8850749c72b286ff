"""Give passages their headers by a seeded draw: title, theme, meter, each given or left empty."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from quire import headers
from training.documents import Document
from training.text import chinese, themes


@dataclass(frozen=True)
class English:
    """Shares of English documents that tell what they have; at most `theme_words` of a theme."""

    titled: float
    themed: float
    metered: float
    theme_words: int


@dataclass(frozen=True)
class Chinese:
    """Shares of Chinese documents that tell what they have."""

    titled: float
    signed: float
    patterned: float


@dataclass(frozen=True)
class Passage:
    """An English text with what is known of it: a real title, or none, and a meter, or none."""

    text: str
    title: str = ""
    meter: str = ""


def english(
    domain: str, passages: Sequence[Passage], idf: Mapping[str, float], settings: English, draw: random.Random
) -> Iterator[Document]:
    """Documents of one English domain: `verse`, `story`, `drama` or `speech`."""
    compose: dict[str, Callable[[str, str], str]] = {
        "story": headers.story,
        "drama": headers.drama,
        "speech": headers.speech,
    }
    for passage in passages:
        title = theme = ""
        if draw.random() < settings.titled:
            title = passage.title or themes.title(passage.text, idf, draw)
        if draw.random() < settings.themed:
            words = themes.theme_words(passage.text, idf, settings.theme_words, draw)
            theme = headers.theme_line(words) if words else ""
        if domain == "verse":
            head = headers.verse(title, theme, passage.meter if draw.random() < settings.metered else "")
        else:
            head = compose[domain](title, theme)
        yield Document(domain, head + passage.text)


def chinese_documents(poems: Sequence[chinese.Poem], settings: Chinese, draw: random.Random) -> Iterator[Document]:
    """Documents of Chinese texts."""
    for poem in poems:
        title = poem.title if draw.random() < settings.titled else ""
        author = poem.author if draw.random() < settings.signed else ""
        pattern = poem.pattern if draw.random() < settings.patterned else ""
        yield Document(poem.kind, headers.chinese(poem.form, title, author, pattern) + "\n".join(poem.lines))
