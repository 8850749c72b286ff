"""Turn the raw stream of lines into blocks of clean English verse, split before cutting."""

import json
import random
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from training import config

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
    }
)
MARKS = re.compile(r"\[[^\]]{0,4}\]|\(\d+\)|\{\d+\}|\s{3,}\d+$")
WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*")
SENTENCE_END = re.compile(r"[.!?][\"')\]]*$")


def tidy(line: str, longest: int) -> str | None:
    """Normalise one line; `None` for notes, headings, numbers and over-long lines.

    Italic marks go, and quotes and dashes become plain ones, as most of the corpus has them.
    """
    text = unicodedata.normalize("NFC", MARKS.sub("", line)).translate(PLAIN)
    text = " ".join(text.split())
    if len(text) > longest or text.isupper() or any(c.isdigit() for c in text):
        return None
    return text if WORD.search(text) else None


def english(lines: Sequence[str], window: int, least: float) -> list[str]:
    """Keep the lines whose neighbourhood has at least `least` English function words.

    A simple vote of the `2 * window + 1` lines around: one line is too short to tell.
    """
    words = [WORD.findall(line.lower()) for line in lines]
    known = [0, *accumulate(sum(w in ENGLISH for w in ws) for ws in words)]
    total = [0, *accumulate(len(ws) for ws in words)]
    kept = []
    for i, line in enumerate(lines):
        low, high = max(0, i - window), min(len(lines), i + window + 1)
        if known[high] - known[low] >= least * (total[high] - total[low]):
            kept.append(line)
    return kept


def first_passages(lines: Sequence[str], length: int) -> list[str]:
    """Drop every run of `length` lines that has occurred before, whatever its alignment.

    Poems stand in several anthologies; without this, held-out ones would be trained on.
    """
    keys = [hash(tuple(WORD.findall(line.lower()))) for line in lines]
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


def cut(lines: Sequence[str], sizes: config.Blocks, draw: random.Random) -> Iterator[list[str]]:
    """Cut one region into blocks; each runs on a little to end where a sentence ends."""
    start = 0
    while len(lines) - start >= sizes.shortest:
        end = min(start + draw.randint(sizes.shortest, sizes.longest), len(lines))
        for more in range(min(sizes.run_on, len(lines) - end) + 1):
            if SENTENCE_END.search(lines[end + more - 1]):
                end += more
                break
        yield list(lines[start:end])
        start = end


def unseen(blocks: Iterable[list[str]], trained: Iterable[list[str]], least_words: int) -> list[list[str]]:
    """Drop held-out blocks that share a line of `least_words` words or more with `trained`.

    Other editions of a poem differ in spelling here and there, so `first_passages` lets them by.
    """
    known = {tuple(WORD.findall(line.lower())) for block in trained for line in block}

    def shared(line: str) -> bool:
        words = tuple(WORD.findall(line.lower()))
        return len(words) >= least_words and words in known

    return [block for block in blocks if not any(map(shared, block))]


def write(name: str, blocks: Iterable[list[str]]) -> dict[str, int]:
    """Write blocks, a blank line between two, and return their counts."""
    count = lines = size = 0
    with (config.WORK / f"{name}.blocks").open("w", encoding="utf-8") as out:
        for block in blocks:
            text = "\n".join(block)
            out.write(text + "\n\n")
            count, lines, size = count + 1, lines + len(block), size + len(text.encode())
    return {"blocks": count, "lines": lines, "bytes": size}


def main() -> None:
    """Write `build/train.blocks`, `build/validation.blocks` and the counts `build/clean.json`."""
    settings = config.load()
    cleaning = settings.cleaning
    raw = (config.WORK / "lines.txt").read_text(encoding="utf-8").split("\n")
    usable = [text for line in raw if (text := tidy(line, cleaning.longest_line))]
    print(f"clean: {len(usable):,} usable of {len(raw):,} lines", flush=True)
    kept = english(usable, cleaning.language_window, cleaning.least_english)
    unique = first_passages(kept, cleaning.passage_lines)
    print(f"clean: {len(kept):,} English, {len(unique):,} after repeated passages", flush=True)
    parts = regions(len(unique), cleaning.regions, cleaning.held_out_regions, settings.seed)
    counts: dict[str, object] = {
        "raw_lines": len(raw) - 1,
        "usable_lines": len(usable),
        "english_lines": len(kept),
        "unique_lines": len(unique),
    }
    draw = random.Random(settings.seed)
    train, held_out = (
        [
            block
            for part, chosen in parts
            if chosen == wanted
            for block in cut(unique[part.start : part.stop], settings.blocks, draw)
        ]
        for wanted in (False, True)
    )
    counts["train"] = write("train", train)
    kept_out = unseen(held_out, train, cleaning.telling_words)
    counts["validation"] = write("validation", kept_out)
    counts["held_out_blocks_dropped"] = len(held_out) - len(kept_out)
    (config.WORK / "clean.json").write_text(json.dumps(counts, indent=1), encoding="utf-8")
    print(f"clean: {counts}")


if __name__ == "__main__":
    main()
