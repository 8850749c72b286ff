"""Give every passage its header and write train and held-out documents."""

import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.progress import track

from training import config
from training.documents import Document, write
from training.text import chinese, gather, headed, shares, themes


def pairs(poem: chinese.Poem) -> set[int]:
    """Hashes of every two consecutive lines, or of the only one."""
    lines = poem.lines
    return {hash(lines[i : i + 2]) for i in range(max(1, len(lines) - 1))}


def split(poems: Sequence[chinese.Poem], share: float, draw: random.Random) -> tuple[list[chinese.Poem], ...]:
    """Drop poems that repeat another's lines, then hold out a share that has no two lines of a training poem.

    Prose is held out by whole chapters.
    """
    seen: set[int] = set()
    unique = []
    for poem in poems:
        own = pairs(poem)
        if 3 * len(own & seen) <= len(own):
            unique.append(poem)
        seen |= own
    flags = []
    chapters: dict[str, bool] = {}
    for poem in unique:
        held = draw.random() < share
        flags.append(chapters.setdefault(poem.title, held) if poem.form == "文" else held)
    train = [poem for poem, held in zip(unique, flags, strict=True) if not held]
    known = {pair for poem in train for pair in pairs(poem)}
    validation = [p for p, held in zip(unique, flags, strict=True) if held and not pairs(p) & known]
    return train, validation


@dataclass(frozen=True)
class Made:
    """The documents of a language, and what the report says of them."""

    train: list[Document]
    validation: list[Document]
    report: dict[str, Any]


def english(settings: config.Config, own: shares.English, draw: random.Random) -> Made:
    """Documents of every English domain, with headers."""
    gather.gather_english(gather.English(settings, own))
    domains = [gather.passages(settings.work, domain) for domain in gather.ENGLISH]
    sample = [passage.text for gathered in domains for passage in gathered.train][:: own.words.sample_every]
    idf = themes.rarity(sample, own.words)
    print(f"corpus: {len(idf):,} theme words", flush=True)
    report = {
        "verse": json.loads((settings.work / "verse.json").read_text(encoding="utf-8")),
        "theme_words": len(idf),
        "meters": dict(Counter(p.meter or "none" for p in domains[0].train).most_common()),
    }
    made = Made([], [], report)
    for gathered in track(domains, "corpus: headers"):
        made.train.extend(headed.english(gathered.domain, gathered.train, idf, own.headed, draw))
        made.validation.extend(headed.english(gathered.domain, gathered.validation, idf, own.headed, draw))
    return made


def chinese_texts(settings: config.Config, own: shares.Chinese, draw: random.Random) -> Made:
    """Documents of Chinese verse and prose, with headers."""
    gather.gather_chinese(gather.Chinese(settings, own))
    poems = gather.poems(settings.work)
    train, validation = split(poems, own.held_out, draw)
    print(f"corpus: {len(poems):,} Chinese texts, {len(train):,} for training", flush=True)
    return Made(
        list(headed.chinese_documents(train, own.headed, draw)),
        list(headed.chinese_documents(validation, own.headed, draw)),
        {"zh_texts": len(poems), "zh_forms": dict(Counter(poem.form for poem in train).most_common())},
    )


def run(settings: config.Config) -> None:
    """Write `train.jsonl`, `validation.jsonl` and `corpus.json`."""
    own = shares.read(settings.corpus)
    made = []
    if own.en:
        made.append(english(settings, own.en, random.Random(settings.seed)))
    if own.zh:
        made.append(chinese_texts(settings, own.zh, random.Random(settings.seed)))
    documents = {
        "train": [document for one in made for document in one.train],
        "validation": [document for one in made for document in one.validation],
    }
    report: dict[str, Any] = {key: value for one in made for key, value in one.report.items()}
    for part, found in documents.items():
        write(settings.work / f"{part}.jsonl", found)
        report[part] = sizes(found)
    (settings.work / "corpus.json").write_text(json.dumps(report, indent=1, ensure_ascii=False), encoding="utf-8")
    print(f"corpus: {json.dumps(report, ensure_ascii=False)}", flush=True)


def sizes(documents: Sequence[Document]) -> dict[str, dict[str, int]]:
    """Documents and UTF-8 bytes of each domain."""
    counts: Counter[str] = Counter()
    size: Counter[str] = Counter()
    for document in documents:
        counts[document.domain] += 1
        size[document.domain] += len(document.text.encode())
    return {domain: {"documents": count, "bytes": size[domain]} for domain, count in counts.most_common()}
