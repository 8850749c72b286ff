"""Give each block its header by a seeded draw, and write one JSON string a document."""

import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping

from training import config
from training.headers import header, theme_line
from training.themes import rarity, theme_words, title


def read_blocks(name: str) -> list[str]:
    """The blocks of `train` or `validation`, lines joined by newlines."""
    text = (config.WORK / f"{name}.blocks").read_text(encoding="utf-8")
    return text.removesuffix("\n\n").split("\n\n")


def read_documents(name: str) -> list[str]:
    """The documents of `train` or `validation`, without their end-of-text mark."""
    text = (config.WORK / f"{name}.documents").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def documents(
    blocks: list[str], idf: Mapping[str, float], settings: config.Documents, seed: int
) -> Iterator[tuple[str, str]]:
    """Yield each block's shape (`bare`, `theme`, `title`, `both`) and its document."""
    draw = random.Random(seed)
    for block in blocks:
        kind = draw.random()
        titled = kind >= settings.bare + settings.themed
        themed = kind >= settings.bare and (not titled or draw.random() < settings.titled_with_theme)
        name = title(block, idf, draw) if titled else ""
        words = theme_words(block, idf, settings.theme_words, draw) if themed else []
        shape = {(0, 0): "bare", (0, 1): "theme", (1, 0): "title", (1, 1): "both"}
        head = header(name, theme_line(words) if words else "")
        yield shape[bool(name), bool(words)], head + block


def main() -> None:
    """Write `build/train.documents`, `build/validation.documents` and `build/documents.json`."""
    settings = config.load()
    train = read_blocks("train")
    idf = rarity(train, settings.documents)
    print(f"documents: {len(idf):,} theme words", flush=True)
    counts: dict[str, object] = {"theme_words": len(idf)}
    for name, blocks in (("train", train), ("validation", read_blocks("validation"))):
        shapes: Counter[str] = Counter()
        with (config.WORK / f"{name}.documents").open("w", encoding="utf-8") as out:
            for shape, text in documents(blocks, idf, settings.documents, settings.seed):
                shapes[shape] += 1
                out.write(json.dumps(text) + "\n")
        counts[name] = dict(shapes)
    (config.WORK / "documents.json").write_text(json.dumps(counts, indent=1), encoding="utf-8")
    print(f"documents: {counts}")


if __name__ == "__main__":
    main()
