"""Documents on their way from the corpus to the tokens: one JSON object a line."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

PARTS = ("train", "validation")


@dataclass(frozen=True)
class Document:
    """One text with its header, without its end-of-text mark, and the domain it is measured in."""

    domain: str
    text: str


def write(path: Path, documents: Iterable[Document]) -> None:
    """Write documents; a file is there only when it is whole."""
    part = path.with_suffix(".part")
    with part.open("w", encoding="utf-8") as out:
        for document in documents:
            out.write(json.dumps(asdict(document), ensure_ascii=False) + "\n")
    part.replace(path)


def read(path: Path) -> Iterator[Document]:
    """Read documents in the order written."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield Document(**json.loads(line))
