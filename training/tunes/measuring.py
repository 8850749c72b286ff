"""What samples of tunes are worth: do their bars add up, are they parsed, and what do they copy in any key?"""

import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import symusic
from rich.progress import track

from training import config, documents, overlap, rows
from training.sampling import Sample
from training.tunes.checking import METERS, fits
from training.tunes.notes import SEMITONES, Key, read_key, semitone
from training.tunes.reading import TOKEN, UnreadableError, events, measures, note_of, sections
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
    """MIDI numbers of the sounding notes, in the order written; what cannot be read is passed over."""
    pitches = []
    altered: dict[int, int] = {}
    for found in TOKEN.finditer(body):
        if found["bar"]:
            altered = {}
        elif found["note"]:
            with suppress(UnreadableError):
                note = note_of(found, Fraction(1))
                pitches += [semitone(note, key, altered)] if note.place is not None else []
    return pitches


def told(text: str) -> tuple[str, Key, str]:
    """Meter, key and body of a document; `ValueError` for one without the header of a tune."""
    header, _, body = text.partition("\n")
    found = HEADER.fullmatch(header)
    key = read_key(found[3]) if found else None
    if found is None or key is None:
        raise ValueError(f"not the header of a tune: {header}")
    return found[2], key, body


def intervals(text: str) -> list[int]:
    """The steps of a document's melody, semitones above `UNISON`: the same in every key."""
    _, key, body = told(text)
    return [UNISON + after - before for before, after in pairwise(melody(body, key))]


def full_measures(texts: Sequence[str]) -> float:
    """Share of all measures, pickups and closing ones included, that have the meter's full length."""
    full = count = 0
    for text in texts:
        meter, _, body = told(text)
        with suppress(UnreadableError):
            durations = [measure.duration for measure, _ in measures(events(body, Fraction(1)))]
            full += durations.count(Fraction(METERS[meter]))
            count += len(durations)
    return round(full / max(1, count), 4)


def ends_on_tonic(texts: Sequence[str]) -> float:
    """Share of the documents whose last note is the tonic of their key, in any octave."""
    met = 0
    for text in texts:
        _, key, body = told(text)
        tonic = SEMITONES[key.letter] + key.alteration
        met += any((pitch - tonic) % 12 == 0 for pitch in melody(body, key)[-1:])
    return round(met / len(texts), 4)


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


@contextmanager
def silenced() -> Iterator[None]:
    """Keep what a library of C++ prints off the terminal."""
    sys.stdout.flush()
    kept = [os.dup(1), os.dup(2)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for place in (1, 2):
        os.dup2(nowhere, place)
    try:
        yield
    finally:
        for place, old in zip((1, 2), kept, strict=True):
            os.dup2(old, place)
            os.close(old)
        os.close(nowhere)


def is_parsed(text: str) -> bool:
    """Whether symusic reads the tune, with the ABC fields of its header, and finds notes."""
    header, _, body = text.partition("\n")
    found = HEADER.fullmatch(header)
    if not found:
        return False
    try:
        with silenced():
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
    texts = [one.header + one.text for one in written]
    whole = sum(adds_up(body, meter) for meter, _, body in map(told, texts))
    return {
        "bars_add_up": round(whole / len(texts), 4),
        "full_measures_samples": full_measures(texts),
        "full_measures_held_out": full_measures(held_out),
        "tonic_samples": ends_on_tonic(texts),
        "tonic_held_out": ends_on_tonic(held_out),
        "parsed_by_symusic": round(sum(map(is_parsed, texts)) / len(texts), 4),
        "intervals_samples": copied(texts, rows.as_tokens(train)),
        "intervals_held_out": copied(held_out, rows.as_tokens(train)),
    }
