"""Chinese verse and classical prose: forms by exact line lengths, in simplified characters."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

HAN = "\u3400-\u4dbf\u4e00-\u9fff\u3007"
LINE = re.compile(rf"[{HAN}、]+[，。！？；：]")
BROKEN = re.compile(r"[□■?{}\[\]〖〗A-Za-z0-9/]")
NOTES = re.compile(r"[（(][^（）()]*[）)]|《[^》]*》注|〔[^〕]*〕")
FORMS = {(4, 5): "五绝", (4, 7): "七绝", (8, 5): "五律", (8, 7): "七律"}
VERSE_LENGTHS = range(2, 13)
LONGEST_TITLE = 24
LONGEST_POEM = 480
"""Characters; the longest 排律 and 赋 are left out, since a row would cut them."""
NO_PATTERN = {"失调名", "失调", "无调名"}
NOBODY = {"不详", "无名氏", "佚名", "阙名"}
PUNCTUATION = str.maketrans(
    {
        "「": "“",
        "」": "”",
        "『": "‘",
        "』": "’",
        ",": "，",
        ";": "；",
        ":": "：",
        "!": "！",
        "?": "？",
        "．": "。",
        "｡": "。",
        "〈": "《",
        "〉": "》",
        "\u3000": "",
        " ": "",
        "\t": "",
        "\u200b": "",
        "\ufeff": "",
    }
)
Simplify = Callable[[str], str]


@dataclass(frozen=True)
class Poem:
    """A poem or a piece of prose; `pattern` is the 词牌 of a 词; `kind` its domain."""

    kind: str
    form: str
    title: str
    author: str
    lines: tuple[str, ...]
    pattern: str = ""


def plain(text: str) -> str:
    """Chinese punctuation, no spaces, no notes in brackets."""
    return NOTES.sub("", text.translate(PUNCTUATION))


def title_of(text: str) -> str:
    """A title without notes; empty when it is long: long ones are prefaces."""
    cleaned = re.sub(rf"[^{HAN}·、，]+", "·", NOTES.sub("", text).replace("・", "·")).strip("·、，")
    return cleaned if len(cleaned) <= LONGEST_TITLE else ""


def author_of(text: str) -> str:
    """An author's name; empty where nobody is known."""
    name = re.sub(rf"[^{HAN}]", "", NOTES.sub("", text.rpartition("：")[2]))
    return "" if name in NOBODY or len(name) > 6 else name


def verse_lines(paragraphs: list[str]) -> tuple[str, ...]:
    """Lines of verse, each with its punctuation; empty when anything else stands between them."""
    text = plain("".join(paragraphs))
    if BROKEN.search(text) or len(text) > LONGEST_POEM:
        return ()
    text = re.sub(r"[“”‘’《》—…·]", "", text)
    if text and text[-1] not in "，。！？；：":
        text += "。"
    lines = LINE.findall(text)
    if "".join(lines) != text or not all(len(line) - 1 in VERSE_LENGTHS for line in lines):
        return ()
    return tuple(lines)


def form_of(lines: tuple[str, ...]) -> str:
    """The form whose line count and line lengths fit exactly, else 诗."""
    lengths = {len(line) - 1 for line in lines}
    if len(lengths) != 1 or any("、" in line for line in lines):
        return "诗"
    return FORMS.get((len(lines), lengths.pop()), "诗")


def shi(entry: dict[str, Any], simplify: Simplify) -> Poem | None:
    """One 诗 of the 全唐诗 and its like; `None` for what is broken."""
    lines = verse_lines([simplify(p) for p in entry.get("paragraphs") or entry.get("content") or []])
    if not lines:
        return None
    title, author = simplify(entry.get("title", "")), simplify(entry.get("author", ""))
    return Poem("zh-shi", form_of(lines), title_of(title), author_of(author), lines)


def ci(entry: dict[str, Any], simplify: Simplify) -> Poem | None:
    """One 词; what follows its 词牌 is the title."""
    lines = verse_lines([simplify(p) for p in entry["paragraphs"]])
    if not lines:
        return None
    pattern, _, title = simplify(entry.get("rhythmic") or entry["title"]).replace("・", "·").partition("·")
    pattern = re.sub(rf"[^{HAN}]", "", NOTES.sub("", pattern))
    pattern = "" if pattern in NO_PATTERN or len(pattern) > 8 else pattern
    return Poem("zh-ci", "词", title_of(title), author_of(simplify(entry["author"])), lines, pattern)


def qu(entry: dict[str, Any], simplify: Simplify) -> Poem | None:
    """One 曲."""
    lines = verse_lines([simplify(p) for p in entry["paragraphs"]])
    if not lines:
        return None
    return Poem("zh-qu", "曲", title_of(simplify(entry["title"])), author_of(simplify(entry["author"])), lines)


def pieces(paragraphs: list[str], shortest: int, longest: int) -> Iterator[tuple[str, ...]]:
    """Pieces of prose of whole paragraphs; a long paragraph is cut where a sentence ends."""
    lines: list[str] = []
    size = 0
    for paragraph in paragraphs:
        for part in re.findall(rf".{{1,{longest}}}(?:[。！？][”’]?|$)", paragraph) or [paragraph[:longest]]:
            if lines and size + len(part) > longest:
                yield tuple(lines)
                lines, size = [], 0
            lines.append(part)
            size += len(part)
    if size >= shortest:
        yield tuple(lines)


def prose(title: str, author: str, paragraphs: list[str], simplify: Simplify, longest: int) -> Iterator[Poem]:
    """Pieces of a work of classical prose."""
    kept = [
        text for p in paragraphs if (text := plain(simplify(p)).strip()) and not re.search(r"[□{}A-Za-z]", text)
    ]
    for lines in pieces(kept, 40, longest):
        yield Poem("zh-wen", "文", title_of(simplify(title)), author_of(simplify(author)), lines)


def chapters(tree: Any, author: str = "") -> Iterator[tuple[str, str, list[str]]]:
    """Title, author and paragraphs of every chapter in a nested book."""
    if isinstance(tree, list):
        for part in tree:
            yield from chapters(part, author)
    elif isinstance(tree, dict):
        author = tree.get("author", author)
        if all(isinstance(p, str) for p in tree.get("paragraphs", [0])):
            yield tree.get("chapter") or tree.get("title", ""), author, tree["paragraphs"]
        elif isinstance(tree.get("content"), list):
            yield from chapters(tree["content"], author)


def three_kingdoms(data: bytes) -> Iterator[tuple[str, list[str]]]:
    """Title and paragraphs of each chapter of the 三国演义, a list of texts whose first line is the title."""
    for text in json.loads(data):
        head, _, body = text.partition("\n")
        title = re.sub(r"^第\S+回\s*", "", head).split("\u3000")[0]
        yield title, [line.strip() for line in body.split("\n") if line.strip()]
