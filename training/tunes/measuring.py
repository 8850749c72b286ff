"""What samples of tunes are worth: do their bars add up, are they parsed, and what do they copy in any key?"""

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import symusic
from rich.progress import track

from training import config, documents, overlap, rows
from training.sampling import Sample
from training.tunes.checking import fits
from training.tunes.notes import Key, Note, read_key, semitone
from training.tunes.reading import UnreadableError, events, measures, sections
from training.tunes.writing import abc

HEADER = re.compile(r"<([^<>]+)><([^<>]+)><([^<>]+)>(.*)")
BETWEEN = 0
"""Parts the training tunes; an interval is never that, being written from `UNISON` on."""
UNISON = 128


def adds_up(body: str, meter: str) -> bool:
    """Whether a body can be read and every strain's measures add up to the meter."""
    try:
        found = sections(measures(events(body, Fraction(1))))
    except UnreadableError:
        return False
    return bool(found) and all(fits(section, meter) for section in found)


def melody(body: str, key: Key) -> list[int]:
    """MIDI numbers of the sounding notes, in the order written; empty for a body that cannot be read."""
    try:
        found = events(body, Fraction(1))
    except UnreadableError:
        return []
    pitches = []
    altered: dict[int, int] = {}
    for event in found:
        if isinstance(event, Note):
            pitches += [semitone(event, key, altered)] if event.place is not None else []
        elif event.drawn:
            altered = {}
    return pitches


def intervals(text: str) -> list[int]:
    """The steps of a document's melody, semitones above `UNISON`: the same in every key."""
    header, _, body = text.partition("\n")
    found = HEADER.fullmatch(header)
    key = read_key(found[3]) if found else None
    if key is None:
        raise ValueError(f"not the header of a tune: {header}")
    pitches = melody(body, key)
    return [UNISON + after - before for before, after in pairwise(pitches)]


def rhythm(text: str) -> str:
    """A body without its pitches: the same for all transpositions of a tune."""
    return re.sub(r"[A-Ga-g]", "n", re.sub(r"[\^_=,']", "", text.partition("\n")[2]))


def originals(path: Path) -> Iterator[str]:
    """One document of each training tune: its transpositions stand one after the other."""
    before = ""
    for document in documents.read(path):
        own = rhythm(document.text)
        if own != before:
            yield document.text
        before = own


def is_parsed(text: str) -> bool:
    """Whether symusic reads the tune, with the ABC fields of its header, and finds notes."""
    header, _, body = text.partition("\n")
    found = HEADER.fullmatch(header)
    if not found:
        return False
    try:
        score: Any = symusic.Score.from_abc(abc(found[1], found[2], found[3], found[4], body))
    except (RuntimeError, ValueError):
        return False
    return any(len(part.notes) for part in score.tracks)


def copied(texts: Sequence[str], train: rows.Tokens) -> dict[str, float]:
    """Longest run of each melody's intervals that a training tune has, in notes."""
    spans = overlap.longest_spans([rows.as_tokens(intervals(text)) for text in texts], train)
    return overlap.spread([span.length + 1 if span.length else 0 for span in spans])


def measure(settings: config.Config, written: Sequence[Sample], held_out: Sequence[str]) -> dict[str, object]:
    """Figures of the samples, beside the held-out tunes where they have a meaning."""
    train: list[int] = []
    for text in track(list(originals(settings.work / "train.jsonl")), "evaluate: melodies"):
        train += [*intervals(text), BETWEEN]
    ended = [one for one in written if one.ended]
    whole = [one for one in ended if adds_up(one.text, one.header.split("><")[1])]
    return {
        "bars_add_up": round(len(whole) / len(written), 4),
        "bars_add_up_of_ended": round(len(whole) / len(ended), 4) if ended else None,
        "parsed_by_symusic": round(sum(is_parsed(one.header + one.text) for one in written) / len(written), 4),
        "intervals_samples": copied([one.header + one.text for one in written], rows.as_tokens(train)),
        "intervals_held_out": copied(held_out, rows.as_tokens(train)),
    }
