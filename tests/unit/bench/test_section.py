"""Sections of the page of benchmarks that programs write: each keeps to its own."""

from pathlib import Path

from bench import section


def test_a_section_is_added_at_the_end(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Benchmarks\n\nBy hand.\n")

    section.put("program", ["## Found", "", "42"], page)

    assert page.read_text() == (
        "# Benchmarks\n\nBy hand.\n\n<!-- begin: written by `program` -->\n## Found\n\n42\n"
        "<!-- end: written by `program` -->\n"
    )


def test_a_section_takes_the_place_of_its_predecessor_and_leaves_all_else(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Benchmarks\n")
    section.put("one", ["old"], page)
    section.put("other", ["stays"], page)
    before = page.read_text()

    section.put("one", ["new"], page)

    assert page.read_text() == before.replace("old", "new")
