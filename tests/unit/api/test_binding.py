"""Books as files: what is in them, and that readers can open them."""

import io
import zipfile
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID
from xml.etree import ElementTree as ET

import pytest

from api import presenter
from api.binding import MEDIA, Chapter, Volume, bound
from quire.longform import Plan, PlannedPart
from quire.store import Job

VOLUME: dict[str, Any] = {
    "id": UUID(int=7),
    "title": "Sea & <Sand>",
    "subtitle": "A voyage.",
    "language": "en",
    "verse": False,
    "gap": "\n\n",
    "chapters": (Chapter("Chapter 1", "One *star*.\nTwo.\n\n- Three \x07<b>"), Chapter("Chapter 2", "Four.")),
    "model": "quire-verse",
    "seed": 7,
    "finished": datetime(2026, 11, 28, 10, tzinfo=UTC),
}
OPF = "{http://www.idpf.org/2007/opf}"
DC = "{http://purl.org/dc/elements/1.1/}"
XHTML = "{http://www.w3.org/1999/xhtml}"


def volume(**changes: Any) -> Volume:
    return Volume(**VOLUME | changes)


@pytest.mark.parametrize("form", ["markdown", "text", "html"])
def test_every_form_has_title_contents_chapters_and_a_colophon(form: Any) -> None:
    text = bound(volume(title="The Sea"), form).decode()

    assert text.index("The Sea") < text.index("Chapter 2") < text.rindex("Chapter 2") < text.index("Four.")
    assert text.index("Four.") < text.index("written by a machine")
    assert "quire-verse, from seed 7" in text
    assert "2026-11-28" in text


def test_what_a_model_writes_is_no_markup() -> None:
    html, markdown = bound(volume(), "html").decode(), bound(volume(), "markdown").decode()

    assert "<h1>Sea &amp; &lt;Sand&gt;</h1>" in html
    assert "&lt;b&gt;" in html
    assert "\x07" not in html
    assert r"One \*star\*. Two." in markdown
    assert r"\- Three" in markdown


def test_a_paragraph_a_line_is_bound_as_paragraphs() -> None:
    talk = volume(gap="\n", chapters=(Chapter("Chapter 1", "No, said he.\nYes, said she.\n\nThey went."),))

    assert "<p>No, said he.</p><p>Yes, said she.</p><p>They went.</p>" in bound(talk, "html").decode()
    assert "No, said he.\n\nYes, said she.\n\nThey went." in bound(talk, "markdown").decode()


def test_no_line_becomes_a_rule_a_list_or_a_heading_in_markdown() -> None:
    lines = "The sea\n---\nthe night\n===\n- - -\n+ two\n1. one\n2)\n3.5 &amp;"
    poem = volume(verse=True, subtitle="A voyage.\n\nBy *night*.\n---", chapters=(Chapter("Canto 1", lines),))

    markdown = bound(poem, "markdown").decode()

    verse = lines.splitlines()
    escaped = [verse[0], r"\---", verse[2], r"\===", r"\- - -", r"\+ two", r"1\. one", r"2\)", r"3.5 \&amp;"]
    assert "\\\n".join(escaped) in markdown
    assert "\n*A voyage. By \\*night\\*. ---*\n" in markdown


def test_verse_keeps_its_lines() -> None:
    poem = volume(verse=True, chapters=(Chapter("Canto 1", "The sea\nthe night\n\nthe stars"),))

    assert (
        '<p class="stanza">The sea</p><p>the night</p><p class="stanza">the stars</p>'
        in bound(poem, "html").decode()
    )
    assert "The sea\\\nthe night\n\nthe stars" in bound(poem, "markdown").decode()


def test_an_epub_is_what_the_standard_asks_for() -> None:
    with zipfile.ZipFile(io.BytesIO(bound(volume(), "epub"))) as archive:
        first = archive.infolist()[0]
        assert (first.filename, first.compress_type, first.extra) == ("mimetype", zipfile.ZIP_STORED, b"")
        assert archive.read("mimetype") == MEDIA["epub"].encode()
        files = {name: archive.read(name) for name in archive.namelist()}
    container = ET.fromstring(files["META-INF/container.xml"])
    (root,) = [each.get("full-path") for each in container.iter() if each.get("full-path")]
    package = ET.fromstring(files[str(root)])
    manifest = {item.get("id"): item for item in package.iter(f"{OPF}item")}
    assert {f"OEBPS/{item.get('href')}" for item in manifest.values()} | {str(root)} == {
        name for name in files if name.startswith("OEBPS/")
    }
    assert [ref.get("idref") for ref in package.iter(f"{OPF}itemref")] == [
        "title", "nav", "part-1", "part-2", "colophon",
    ]  # fmt: skip
    assert package.get("unique-identifier") == "id"
    for name in ("identifier", "title", "language"):
        assert package.find(f".//{DC}{name}") is not None
    modified = [meta.text for meta in package.iter(f"{OPF}meta") if meta.get("property") == "dcterms:modified"]
    assert modified == ["2026-11-28T10:00:00Z"]
    (nav,) = [item for item in manifest.values() if item.get("properties") == "nav"]
    links = ET.fromstring(files[f"OEBPS/{nav.get('href')}"]).iter(f"{XHTML}a")
    assert [link.text for link in links] == ["Title page", "Chapter 1", "Chapter 2", "Colophon"]
    for name, data in files.items():
        if name.endswith(".xhtml"):
            assert ET.fromstring(data).find(f".//{XHTML}title") is not None


def test_the_end_of_a_book_is_told_in_utc_whatever_the_zone_of_postgres() -> None:
    part = PlannedPart(heading="Chapter 1", tokens=64)
    plan = Plan(
        title="Sea", premise="A voyage.", form="novel", language="en", parts=(part,), window=32, ending=16
    )  # fmt: skip
    ended = datetime(2026, 11, 28, 4, tzinfo=timezone(timedelta(hours=8)))

    made = presenter.volume(Job(id=UUID(int=7), model="quire-verse", seed=7), plan, [], ended)

    assert "Finished on 2026-11-27." in made.colophon
    with zipfile.ZipFile(io.BytesIO(bound(made, "epub"))) as archive:
        assert b"2026-11-27T20:00:00Z" in archive.read("OEBPS/package.opf")


def test_the_same_book_is_the_same_file() -> None:
    assert bound(volume(), "epub") == bound(volume(), "epub")
