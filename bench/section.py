"""Sections of docs/benchmarks.md that a program writes from the figures that were kept."""

from collections.abc import Iterable
from pathlib import Path

from quire.settings import REPOSITORY

PAGE = REPOSITORY / "docs/benchmarks.md"


def put(writer: str, lines: Iterable[str], page: Path = PAGE) -> None:
    """Put a section in the place of the one that the same command has written, or at the end of the page."""
    begin, end = (f"<!-- {edge}: written by `{writer}` -->" for edge in ("begin", "end"))
    section = "\n".join([begin, *lines, end])
    text = page.read_text(encoding="utf-8") if page.exists() else "# Benchmarks\n"
    if begin in text:
        before, _, rest = text.partition(begin)
        text = before + section + rest.partition(end)[2]
    else:
        text = f"{text.rstrip()}\n\n{section}\n"
    page.write_text(text, encoding="utf-8")
