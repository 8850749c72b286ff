"""Checks a tune before it is delivered: is it what was asked for, and does another program read it so too?"""

import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from symusic import Score

from worker.creative.scores import INTERVALS, SUITING, Measure, NotATune, Tune, key_of, read, tonic_pitch

# Its reader of ABC keeps what it reads in globals of C.
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class Wanted:
    """What a tune should be. `key` as `G major`."""

    meter: str
    key: str
    bars: int
    accidentals: bool = False


def faults(abc: str, wanted: Wanted) -> list[str]:
    """Return what is wrong with a tune, in words; nothing if it is as asked."""
    try:
        tune = read(abc)
        return [*_of_header(tune, wanted), *_of_bars(tune, wanted), *_of_repeats(tune), *_of_pitches(tune, wanted),
                *_of_the_other_reader(abc, tune)]  # fmt: skip
    except NotATune as error:
        return [f"unreadable: {error}"]


@contextmanager
def _silence() -> Iterator[None]:
    """Let what C prints to standard output go nowhere."""
    sys.stdout.flush()
    kept = os.dup(1)
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a descriptor is wanted
        os.dup2(nowhere.fileno(), 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _of_header(tune: Tune, wanted: Wanted) -> Iterator[str]:
    if tune.fields["M"] != wanted.meter:
        yield f"meter: {tune.fields['M']}, not {wanted.meter}"
    if " ".join(key_of(tune.fields["K"])) != wanted.key:
        yield f"key: {tune.fields['K']}, not {wanted.key}"


def _of_bars(tune: Tune, wanted: Wanted) -> Iterator[str]:
    full = Fraction(wanted.meter)
    pickup = first.length if (first := tune.measures[0]).length < full else Fraction(0)
    count, number = 0, 0
    for section in tune.sections():
        own = section[0].length if section[0].length < full else Fraction(0)
        if own != pickup:
            yield f"bars: a section begins with a pickup of {own}, the tune with one of {pickup}"
        bars = _whole(section[1:] if own else section, full, own)
        for index, bar in enumerate(bars):
            number += 1
            closes = index == len(bars) - 1 or bar.left in {"|1", ":|2"}
            right = full - own if closes else full
            if bar.length != right:
                yield f"bars: bar {number} is {bar.length} long, not {right}"
        count += len(bars) - sum(bar.left == ":|2" for bar in bars)
    if count != wanted.bars:
        yield f"bars: {count}, not {wanted.bars}"


def _whole(measures: Sequence[Measure], full: Fraction, pickup: Fraction) -> list[Measure]:
    """Join what an inner section's last bar and the pickup after it make together: one bar."""
    bars: list[Measure] = []
    for measure in measures:
        before = bars[-1] if bars else None
        if (
            pickup
            and before
            and measure.left == "|"
            and (before.length, measure.length) == (full - pickup, pickup)
        ):
            bars[-1] = Measure(before.left, [*before.notes, *measure.notes], measure.right)
        else:
            bars.append(measure)
    return bars


def _of_repeats(tune: Tune) -> Iterator[str]:
    opened = False
    for measure in tune.measures:
        if measure.left == "|:":
            opened = True
        if measure.right in {":|", ":|2"}:
            opened = False
        elif measure.right == "|:" and opened:
            yield "repeats: a |: before the one before it is closed"
        if (measure.left == "|1") != (measure.right == ":|2"):
            yield "repeats: a first ending without a second, or the other way round"
    if opened and tune.measures[-1].left != ":|2":
        yield "repeats: a |: that is never closed"
    if tune.measures[-1].right not in {"|]", ":|"}:
        yield f"end: {tune.measures[-1].right} is none"


def _of_pitches(tune: Tune, wanted: Wanted) -> Iterator[str]:
    tonic, mode = wanted.key.split()
    allowed = set(INTERVALS[mode]) | (SUITING.get(mode, set()) if wanted.accidentals else set())
    notes = [note for measure in tune.measures for note in measure.notes if note.pitch is not None]
    if not notes:
        yield "notes: there are none"
    strange = [note for note in notes if note.pitch and (note.pitch - tonic_pitch(tonic)) % 12 not in allowed]
    if strange:
        yield f"key: {len(strange)} notes are not of {wanted.key}"
    if not wanted.accidentals and any(note.altered for note in notes):
        yield "key: accidentals, where none were asked for"


def _of_the_other_reader(abc: str, tune: Tune) -> Iterator[str]:
    with _ONE_AT_A_TIME, _silence():
        try:
            score: Any = Score.from_abc(abc)
        except Exception as error:  # noqa: BLE001 - whatever it raises, it could not read the tune
            yield f"unreadable: to symusic ({type(error).__name__})"
            return
    pitches = [note.pitch for track in score.tracks for note in sorted(track.notes, key=lambda note: note.time)]
    ours, tied = [], False
    for note in tune.played():
        if not tied and note.pitch is not None:
            ours.append(note.pitch)
        tied = note.tied
    if pitches != ours:
        yield (
            f"notes: symusic hears {len(pitches)}, we {len(ours)}"
            if len(pitches) != len(ours)
            else "notes: differ"
        )
    meters = {f"{each.numerator}/{each.denominator}" for each in score.time_signatures}
    if meters != {tune.fields["M"]}:
        yield f"meter: symusic reads {', '.join(sorted(meters)) or 'none'}"
