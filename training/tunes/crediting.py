"""Who transcribed the tunes, by the `Z:` fields of their files."""

import re
from collections import Counter
from collections.abc import Iterable

ADDRESS = re.compile(r"[\w.+-]+\s*[@:][\w.:@+-]+")
DID = re.compile(r"(?:(?:transcribed|contributed|corrected|proofread)[\s\d-]*by|[\d\s/-]+by)\s+", re.IGNORECASE)
REST = re.compile(r"[,<*(]|(?<=[a-z]{3})\. |\s\d|https?:|www\.|[\w.+-]+\s*[@:].*")
NAME = re.compile(r"[A-Z][\w.']*(?: [A-Z][\w.']*){1,3}")


def transcriber(line: str) -> str:
    """The name in a `Z:` field, without dates and addresses; empty for remarks about the music.

    Where only an address is given, what stands before its ``@`` is the name.
    """
    text = line.strip(' "')
    told = DID.match(text)
    text = text[told.end() :] if told else text.lstrip("0123456789 -/")
    name = " ".join(REST.split(text)[0].split()).rstrip(" .")
    if told and not name:
        address = ADDRESS.match(text)
        name = re.split("[@:]", address[0])[0] if address else ""
    return name if told or (NAME.fullmatch(name) and not name.isupper()) else ""


def credits_text(fields: Iterable[str]) -> str:
    """The contents of `CREDITS`: every name with the number of tunes, the most first."""
    names = Counter(name for line in fields if (name := transcriber(line)))
    lines = [f"{count:5d}  {name}\n" for name, count in names.most_common()]
    return "Transcribers of the tunes, as the files credit them, with the number of tunes.\n\n" + "".join(lines)
