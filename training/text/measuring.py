"""What samples of text are worth: are Chinese forms met, and are theme words used?"""

import re
from collections.abc import Sequence

from training import config
from training.sampling import Sample
from training.text import chinese
from training.text.verse import WORD

EXACT = re.compile(r"<zh><([五七][绝律])>")
THEMED = re.compile(r"<en>.*\|(.+)\n")


def theme_hits(headers: Sequence[str], texts: Sequence[str]) -> float | None:
    """Share of the theme words in `headers` that occur in the text of the same place; `None` without any."""
    asked = found = 0
    for header, text in zip(headers, texts, strict=True):
        told = THEMED.fullmatch(header)
        words = [word for word in WORD.findall(told[1]) if word != "and"] if told else []
        asked += len(words)
        found += sum(word in WORD.findall(text.lower()) for word in words)
    return round(found / asked, 4) if asked else None


def forms_met(written: Sequence[Sample]) -> float | None:
    """Share of the samples in an exact Chinese form that have its lines; `None` without any."""
    met = [
        chinese.form_of(chinese.verse_lines(one.text.split("\n"))) == told[1]
        for one in written
        if (told := EXACT.match(one.header))
    ]
    return round(sum(met) / len(met), 4) if met else None


def measure(_settings: config.Config, written: Sequence[Sample], _held_out: Sequence[str]) -> dict[str, object]:
    """Figures of the samples; by chance: the theme words of a header in the sample after another."""
    headers = [one.header for one in written]
    texts = [one.text for one in written]
    return {
        "forms_met": forms_met(written),
        "theme_words_used": theme_hits(headers, texts),
        "theme_words_used_by_chance": theme_hits(headers, [*texts[1:], *texts[:1]]),
    }
