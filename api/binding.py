"""A book as a file: title page, contents, chapters, and a colophon that says that a machine wrote it."""

import io
import re
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Literal
from uuid import UUID

Format = Literal["markdown", "text", "html", "epub"]

MEDIA: Mapping[Format, str] = {
    "markdown": "text/markdown",
    "text": "text/plain",
    "html": "text/html",
    "epub": "application/epub+zip",
}
ENDINGS: Mapping[Format, str] = {"markdown": "md", "text": "txt", "html": "html", "epub": "epub"}
STYLE = (
    "body{max-width:38em;margin:3em auto;padding:0 1em;font:1.1em/1.5 serif}"
    "h1,h2{text-align:center;font-weight:normal}.verse p{margin:0}.verse p.stanza{margin-top:1em}"
    ".colophon{margin-top:4em;font-size:.85em;font-style:italic}"
)
# XML 1.0 has no others below a blank; a model may write any.
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# Before marks; and where a line begins, before what would make it an item, a rule, or the one above a heading.
_MARKS = re.compile(r"(^[ \t]*(?=[-+=])|^[ \t]*\d+(?=[.)](?:\s|$))|(?=[\\`*_{}\[\]<>#|~&]))", re.MULTILINE)


@dataclass(frozen=True)
class Chapter:
    heading: str
    text: str


@dataclass(frozen=True)
class Volume:
    """A book that is to be bound; `finished` is when its job ended, in UTC."""

    id: UUID
    title: str
    subtitle: str
    language: str
    verse: bool
    gap: str  # what stands between paragraphs of the text
    chapters: tuple[Chapter, ...]
    model: str
    seed: int
    finished: datetime

    @property
    def colophon(self) -> str:
        return (
            f"This text was written by a machine: the language model {self.model}, from seed {self.seed}, with "
            f"Quire. Finished on {self.finished:%Y-%m-%d}."
        )


def bound(volume: Volume, wanted: Format) -> bytes:
    """Return the file of a book."""
    binders: Mapping[Format, Callable[[Volume], bytes]] = {
        "markdown": _markdown, "text": _text, "html": _html, "epub": _epub,
    }  # fmt: skip
    return binders[wanted](volume)


def _text(volume: Volume) -> bytes:
    chapters = [f"{chapter.heading}\n\n{chapter.text.strip()}" for chapter in volume.chapters]
    contents = "\n".join(chapter.heading for chapter in volume.chapters)
    return ("\n\n\n".join([volume.title, volume.subtitle, contents, *chapters, volume.colophon]) + "\n").encode()


def _markdown(volume: Volume) -> bytes:
    contents = "\n".join(
        f"- [{_plain(chapter.heading)}](#part-{number})" for number, chapter in enumerate(volume.chapters, 1)
    )
    chapters = [
        f'<a id="part-{number}"></a>\n\n## {_plain(chapter.heading)}\n\n{_marked(volume, chapter)}'
        for number, chapter in enumerate(volume.chapters, 1)
    ]
    head = [f"# {_plain(volume.title)}", f"*{_plain(' '.join(volume.subtitle.split()))}*", contents]
    return ("\n\n".join([*head, *chapters, "---", f"*{_plain(volume.colophon)}*"]) + "\n").encode()


def _plain(text: str) -> str:
    """Let nothing in a text be taken for Markdown."""
    return _MARKS.sub(r"\1\\", text)


def _marked(volume: Volume, chapter: Chapter) -> str:
    paragraphs = [_plain(each) for each in _paragraphs(volume, chapter)]
    return "\n\n".join(each.replace("\n", "\\\n" if volume.verse else " ") for each in paragraphs)


def _paragraphs(volume: Volume, chapter: Chapter) -> list[str]:
    between = r"\n" if volume.gap == "\n" else r"\n\s*\n"
    return [each.strip() for each in re.split(between, chapter.text) if each.strip()]


def _html(volume: Volume) -> bytes:
    contents = "".join(
        f'<li><a href="#part-{number}">{_xml(chapter.heading)}</a></li>'
        for number, chapter in enumerate(volume.chapters, 1)
    )
    chapters = "".join(_section(volume, number) for number in range(1, len(volume.chapters) + 1))
    page = (
        f'<!doctype html>\n<html lang="{volume.language}"><head><meta charset="utf-8"/>'
        f"<title>{_xml(volume.title)}</title><style>{STYLE}</style></head><body>"
        f"<h1>{_xml(volume.title)}</h1><p>{_xml(volume.subtitle)}</p><nav><ol>{contents}</ol></nav>{chapters}"
        f'<p class="colophon">{_xml(volume.colophon)}</p></body></html>\n'
    )
    return page.encode()


def _section(volume: Volume, number: int) -> str:
    chapter = volume.chapters[number - 1]
    kind = ' class="verse"' if volume.verse else ""
    body = _body(volume, chapter)
    return f'<section id="part-{number}"{kind}><h2>{_xml(chapter.heading)}</h2>{body}</section>'


def _body(volume: Volume, chapter: Chapter) -> str:
    paragraphs = _paragraphs(volume, chapter)
    if not volume.verse:
        return "".join(f"<p>{_xml(' '.join(each.split()))}</p>" for each in paragraphs)
    lines = []
    for each in paragraphs:
        first, *rest = each.splitlines()
        lines += [f'<p class="stanza">{_xml(first)}</p>', *(f"<p>{_xml(line)}</p>" for line in rest)]
    return "".join(lines)


def _xml(text: str) -> str:
    return escape(_NO_XML.sub("\ufffd", text))


# ---- EPUB 3.3, https://www.w3.org/TR/epub-33/ ---------------------------------------------------------------

CONTAINER = (
    '<?xml version="1.0" encoding="utf-8"?>\n'
    '<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    '<rootfile full-path="OEBPS/package.opf" media-type="application/oebps-package+xml"/>'
    "</rootfiles></container>\n"
)
FIRST = (1980, 1, 1, 0, 0, 0)  # of every file, so that the same book is the same bytes


def _epub(volume: Volume) -> bytes:
    pages = {"title": ("Title page", f"<h1>{_xml(volume.title)}</h1><p>{_xml(volume.subtitle)}</p>")}
    pages |= {
        f"part-{number}": (chapter.heading, _section(volume, number))
        for number, chapter in enumerate(volume.chapters, 1)
    }
    pages["colophon"] = ("Colophon", f'<p class="colophon">{_xml(volume.colophon)}</p>')
    files = {
        "META-INF/container.xml": CONTAINER,
        "OEBPS/package.opf": _package(volume, list(pages)),
        "OEBPS/nav.xhtml": _page(volume, "Contents", _navigation(pages)),
        "OEBPS/style.css": STYLE,
    }
    files |= {f"OEBPS/{name}.xhtml": _page(volume, title, body) for name, (title, body) in pages.items()}
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        # First and not compressed: by it readers know what the file is.
        archive.writestr(zipfile.ZipInfo("mimetype", FIRST), MEDIA["epub"])
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, FIRST), content, zipfile.ZIP_DEFLATED)
    return data.getvalue()


def _package(volume: Volume, pages: list[str]) -> str:
    items = "".join(
        f'<item id="{name}" href="{name}.xhtml" media-type="application/xhtml+xml"/>' for name in pages
    )
    spine = "".join(f'<itemref idref="{name}"/>' for name in ("title", "nav", *pages[1:]))
    modified = f"{volume.finished:%Y-%m-%dT%H:%M:%SZ}"
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        '<package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="id">'
        '<metadata xmlns:dc="http://purl.org/dc/elements/1.1/">'
        f'<dc:identifier id="id">urn:uuid:{volume.id}</dc:identifier><dc:title>{_xml(volume.title)}</dc:title>'
        f"<dc:language>{volume.language}</dc:language><dc:creator>{_xml(volume.model)}</dc:creator>"
        f"<dc:date>{volume.finished:%Y-%m-%d}</dc:date><dc:description>{_xml(volume.colophon)}</dc:description>"
        f'<meta property="dcterms:modified">{modified}</meta></metadata><manifest>'
        '<item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>'
        f'<item id="style" href="style.css" media-type="text/css"/>{items}</manifest>'
        f"<spine>{spine}</spine></package>\n"
    )


def _navigation(pages: Mapping[str, tuple[str, str]]) -> str:
    links = "".join(f'<li><a href="{name}.xhtml">{_xml(title)}</a></li>' for name, (title, _) in pages.items())
    return f'<nav epub:type="toc" id="toc"><h1>Contents</h1><ol>{links}</ol></nav>'


def _page(volume: Volume, title: str, body: str) -> str:
    language = volume.language
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE html>\n'
        '<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops" '
        f'lang="{language}" xml:lang="{language}"><head><title>{_xml(title)}</title>'
        f'<link rel="stylesheet" type="text/css" href="style.css"/></head><body>{body}</body></html>\n'
    )
