"""The tunes that are kept, split by families, in several keys, as documents."""

import json
import random
import re
from collections import Counter
from dataclasses import dataclass

from rich.progress import track

from quire import headers
from training import archives, config
from training.documents import Document, write
from training.tunes import books, crediting, families, transposing, writing
from training.tunes.notes import Tune
from training.tunes.reading import UnreadableError


@dataclass(frozen=True)
class Settings:
    """How tunes are split and multiplied."""

    held_out: float
    kinship: float
    keys: int
    untitled: float


def sources(settings: config.Config) -> list[books.Source]:
    """All tunes of the books, in order."""
    wheel = config.DOWNLOADS / settings.packages["music21"].file
    return [
        source
        for book in books.FOLDERS
        for name, data in archives.files(wheel, f"music21/corpus/{book}/*.abc")
        for source in books.sources(book, name.rpartition("/")[2], data.decode("utf-8", "replace"))
    ]


def document(tune: Tune, *, titled: bool = True) -> Document:
    """A tune as the model reads it."""
    head = headers.tune(tune.style, tune.meter, tune.key.name, tune.title if titled else "")
    return Document(tune.style, head + writing.body(tune))


def run(settings: config.Config) -> None:
    """Write `train.jsonl`, `validation.jsonl`, `corpus.json` and `CREDITS`."""
    own = Settings(**settings.corpus)
    draw = random.Random(settings.seed)
    found = sources(settings)
    reasons: Counter[str] = Counter()
    tunes, origins = [], []
    for source in track(found, "corpus: tunes"):
        try:
            tune = books.read(source)
        except UnreadableError as error:
            reasons[re.sub(r"sign .*", "a sign", str(error))] += 1
            continue
        tunes.append(tune)
        origins.append(source)
    places = families.unique(tunes)
    tunes, origins = [tunes[p] for p in places], [origins[p] for p in places]
    family = families.families(tunes, own.kinship)
    order = sorted(set(family))
    draw.shuffle(order)
    sizes = Counter(family)
    held: set[int] = set()
    while sum(sizes[f] for f in held) < own.held_out * len(tunes):
        held.add(order[len(held)])
    train = [tune for tune, f in zip(tunes, family, strict=True) if f not in held]
    validation = [tune for tune, f in zip(tunes, family, strict=True) if f in held]
    moved = [other for tune in train for other in transposing.transpositions(tune, own.keys)]
    write(
        settings.work / "train.jsonl",
        [document(tune, titled=draw.random() >= own.untitled) for tune in moved],
    )
    write(settings.work / "validation.jsonl", [document(tune) for tune in validation])
    credited = [line for source in origins for line in source.fields.get("Z", [])]
    (settings.work / "CREDITS").write_text(crediting.credits_text(credited), encoding="utf-8")
    counts = {
        "tunes": len(found),
        "refused": dict(reasons.most_common()),
        "kept": len(tunes),
        "families": len(order),
        "train": len(train),
        "train_documents": len(moved),
        "validation": len(validation),
        "styles": dict(Counter(tune.style for tune in tunes).most_common()),
        "meters": dict(Counter(tune.meter for tune in tunes).most_common()),
        "modes": dict(Counter(tune.key.mode for tune in tunes).most_common()),
        "notes": sum(len(tune.notes()) for tune in tunes),
    }
    (settings.work / "corpus.json").write_text(json.dumps(counts, indent=1), encoding="utf-8")
    print(f"corpus: {counts}", flush=True)
