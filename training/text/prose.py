"""Cut works of prose into passages of whole paragraphs."""

import random
import re
import struct
import zlib
from collections.abc import Iterator, Sequence

from training.text.verse import PLAIN

HEADING = re.compile(
    r"(?:chapter|book|volume|vol\.?|part|letter|canto|scene|act|finis|the end|etext|footnote)\b[\s\w.:'-]*\.?"
    r"|[ivxlcdm]+\.?|[\d\s.]+",
    re.IGNORECASE,
)
SENTENCE = re.compile(r"(?<=[.!?][\"')\s])\s*(?=[\"'(A-Z])")
LONGEST_PARAGRAPH = 1800
R_STRINGS, R_STRING = 16, 9


def paragraphs(text: str) -> list[str]:
    """Paragraphs with their lines joined; headings, rulers and notes are empty strings, which part passages."""
    found = []
    for raw in re.split(r"\n\s*\n", text.replace("\r", "")):
        joined = " ".join(raw.translate(PLAIN).split())
        heading = not joined or joined.isupper() or bool(HEADING.fullmatch(joined))
        found.append("" if heading or not re.search("[a-z]{2}", joined) else joined)
    return found


def shortened(found: Sequence[str], longest: int = LONGEST_PARAGRAPH) -> Iterator[str]:
    """Paragraphs, the longest of them split where a sentence ends."""
    for paragraph in found:
        piece = ""
        for sentence in SENTENCE.split(paragraph):
            if piece and len(piece) + len(sentence) > longest:
                yield piece.strip()
                piece = ""
            piece += sentence + " "
        yield piece.strip()


def passages(found: Sequence[str], shortest: int, longest: int, draw: random.Random) -> Iterator[str]:
    """Join paragraphs to passages of a drawn length, in characters; a heading ends one early."""
    lines: list[str] = []
    size, wanted = 0, draw.randint(shortest, longest)
    for paragraph in [*shortened(found), ""]:
        full = bool(lines) and (not paragraph or size + len(paragraph) > longest or size >= wanted)
        if full:
            if size >= shortest:
                yield "\n".join(lines)
            lines, size, wanted = [], 0, draw.randint(shortest, longest)
        if paragraph and len(paragraph) <= longest:
            lines.append(paragraph)
            size += len(paragraph)


def r_strings(data: bytes) -> Iterator[list[str]]:
    """The character vectors of an R lazy-load database: blocks of a length and a zlib stream.

    Within a block, big-endian XDR: a type word, a count, then one length and bytes a string.
    """
    at = 0
    while at < len(data):
        size = struct.unpack_from(">I", data, at)[0]
        stream = zlib.decompressobj()
        block = stream.decompress(data[at + 4 :])
        used = len(data) - at - 4 - len(stream.unused_data)
        at += 4 + used
        if size and block[:2] == b"X\n":
            yield _character_vector(block)


def _character_vector(block: bytes) -> list[str]:
    """The strings of one serialised character vector; empty for any other object."""
    version = struct.unpack_from(">I", block, 2)[0]
    at = 14
    if version >= 3:
        at += 4 + struct.unpack_from(">I", block, at)[0]
    flags, count = struct.unpack_from(">II", block, at)
    if flags & 0xFF != R_STRINGS:
        return []
    at += 8
    found = []
    for _ in range(count):
        kind, length = struct.unpack_from(">Ii", block, at)
        if kind & 0xFF != R_STRING:
            raise ValueError(f"not a string in the vector: type {kind & 0xFF}")
        at += 8
        found.append(block[at : at + max(length, 0)].decode("utf-8", "replace"))
        at += max(length, 0)
    return found
