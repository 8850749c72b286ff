"""The tune books: which files, what their headers say, and what style a tune is."""

import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction

from training.tunes.checking import METERS, fits, rounded, singable
from training.tunes.notes import Tune, read_key
from training.tunes.reading import UnreadableError, events, measures, music, sections

FOLDERS = ("oneills1850", "ryansMammoth", "airdsAirs", "miscFolk")
ONEILL = "oneills1850"
COMMON = {"C": "4/4", "C|": "2/2"}
STYLE_WORDS = (
    ("slip jig", ("slip jig", "slipjig", "hop jig")),
    ("jig", ("jig", "gigg", "double jig", "single jig")),
    ("country dance", ("country dance", "contra dance")),
    ("reel", ("reel", "rant")),
    ("hornpipe", ("hornpipe",)),
    ("strathspey", ("strathspey",)),
    ("clog", ("clog",)),
    ("fling", ("fling",)),
    ("waltz", ("waltz",)),
    ("march", ("march", "quick step", "quickstep", "retreat", "tattoo", "troop", "grenadier")),
    ("minuet", ("minuet", "menuet")),
    ("polka", ("polka",)),
    ("slide", ("slide",)),
    ("song", ("song",)),
    ("air", ("air", "lament", "lamentation", "planxty", "lullaby")),
)
DUPLE = {"2/2", "4/4", "2/4"}
FITTING = {
    "slip jig": {"9/8"},
    "jig": {"6/8", "12/8"},
    "reel": DUPLE,
    "hornpipe": DUPLE | {"3/2"},
    "strathspey": DUPLE,
    "clog": DUPLE,
    "fling": DUPLE,
    "polka": {"2/4"},
    "waltz": {"3/4", "3/8"},
    "minuet": {"3/4", "3/8"},
    "slide": {"6/8", "12/8"},
}
"""A style of these is believed only in its meters: titles lie."""
ONEILL_PARTS = (
    (701, "air"),
    (1116, "jig"),
    (1176, "slip jig"),
    (1551, "reel"),
    (1776, "hornpipe"),
    (1801, "long dance"),
)
"""O'Neill's own order: each style's tunes end before the number beside it; marches and others follow."""
TITLE_TAIL = re.compile(r"\s*(?:--|\(| - ).*$")
SORTED_ARTICLE = re.compile(r"^(.*), (The|A|An)$")
LONGEST_TITLE = 48


@dataclass(frozen=True)
class Source:
    """One tune as it stands in a file: its header fields and its lines of music."""

    book: str
    file: str
    fields: dict[str, list[str]]
    lines: list[str]


def sources(book: str, file: str, text: str) -> list[Source]:
    """Cut a file into tunes: `X:` begins one, the first `K:` ends its header, an empty line ends it."""
    found = []
    for part in re.split(r"(?m)^(?=X:)", text.replace("\r\n", "\n").replace("\r", "\n"))[1:]:
        fields: dict[str, list[str]] = {}
        lines: list[str] = []
        in_body = False
        for line in part.split("\n"):
            if in_body and not line.strip():
                break
            if re.match(r"[A-Za-z]:", line):
                fields.setdefault(line[0], []).append(line[2:].split("%")[0].strip())
                in_body |= line[0] == "K"
            elif in_body and not line.startswith("%"):
                lines.append(line)
        found.append(Source(book, file, fields, lines))
    return found


def meter_of(source: Source) -> str:
    """The one meter of a tune; `UnreadableError` where it changes, is missing or not kept."""
    named = {COMMON.get(value, value) for value in source.fields.get("M", [])}
    if len(named) != 1 or not named <= METERS.keys():
        raise UnreadableError("meter")
    return named.pop()


def unit_of(source: Source, meter: str) -> Fraction:
    """The unit note length in eighths; by the meter where it is not given, as ABC asks."""
    named = set(source.fields.get("L", []))
    if len(named) > 1:
        raise UnreadableError("unit length")
    if not named:
        top, bottom = map(int, meter.split("/"))
        return Fraction(1) if Fraction(top, bottom) >= Fraction(3, 4) else Fraction(1, 2)
    return 8 * Fraction(named.pop())


def title_of(source: Source) -> str:
    """The first title, without numbers, remarks and a full stop; articles go to the front."""
    text = unicodedata.normalize("NFC", source.fields.get("T", [""])[0])
    text = TITLE_TAIL.sub("", text).strip(' .,"')
    text = re.sub(r"^\d+[.:]?\s+", "", text)
    sorted_title = SORTED_ARTICLE.match(text)
    if sorted_title:
        text = f"{sorted_title[2]} {sorted_title[1]}"
    if text.isupper():
        text = text.title().replace("'S", "'s")
    return " ".join(re.sub(r"[<>|\\]", " ", text).split()) if len(text) <= LONGEST_TITLE else ""


def style_of(source: Source, meter: str) -> str:
    """What `R:`, the titles, the book's order, or at last the meter say."""
    told = [*source.fields.get("R", []), *source.fields.get("T", [])]
    for text in told:
        for style, words in STYLE_WORDS:
            if any(re.search(rf"\b{word}s?\b", text.lower()) for word in words) and meter in FITTING.get(
                style, {meter}
            ):
                return style
    number = re.search(r"\d+", " ".join(source.fields.get("B", []))) if source.book == ONEILL else None
    number = number or (re.search(r"\d+", source.fields["X"][0]) if source.book == ONEILL else None)
    if number:
        style = next((style for end, style in ONEILL_PARTS if int(number[0]) < end), "march")
        if meter in FITTING.get(style, {meter}):
            return style
    return {"9/8": "slip jig", "6/8": "jig"}.get(meter, "tune")


def read(source: Source) -> Tune:
    """Read a tune; `UnreadableError` says what is not kept."""
    if "V" in source.fields:
        raise UnreadableError("voices")
    keys = {value for value in source.fields.get("K", []) if value}
    key = read_key(keys.pop()) if len(keys) == 1 else None
    if key is None or abs(key.sharps) > 6:
        raise UnreadableError("key")
    meter = meter_of(source)
    found = sections(measures(events(music(source.lines), unit_of(source, meter))))
    if not found:
        raise UnreadableError("no music")
    strains = tuple(rounded(section, meter) for section in found)
    tune = Tune(title_of(source), style_of(source, meter), meter, key, strains)
    if not all(fits(section, meter) for section in strains):
        raise UnreadableError("bars")
    if not singable(tune.notes()):
        raise UnreadableError("lengths")
    return tune
