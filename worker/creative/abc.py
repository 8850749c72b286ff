"""A tune as a document: a header that says what was asked for, and the body as it was written."""

from quire.music import keys, meters
from quire.music.instruments import program_of
from quire.spec import Music
from worker.creative.checking import Wanted

MODES = {"major": "", "minor": "min", "dorian": "dor", "mixolydian": "mix", "phrygian": "phr", "lydian": "lyd",
         "locrian": "loc"}  # fmt: skip


def document(music: Music, title: str | None, body: str) -> str:
    """Return a file of ABC 2.1 with one tune; without a title it is called by what it is."""
    tonic, mode = music.key.split()
    title = title or f"{music.style.capitalize()} in {music.key}"
    fields = (
        "X:1",
        f"T:{title.replace('%', chr(92) + '%')}",  # what follows a % would be a comment
        f"R:{music.style}",
        f"M:{music.meter}",
        "L:1/8",
        f"Q:{_pulse(music)}={music.tempo}",
        f"%%MIDI program {program_of(music.instrument)}",
        f"K:{tonic}{MODES[mode]}",
    )
    return "\n".join([*fields, body.strip("\n"), ""])


def wanted(music: Music) -> Wanted:
    return Wanted(music.meter, music.key, music.bars, music.accidentals)


def meter_of(music: Music) -> meters.Meter:
    return meters.METERS[music.meter]


def key_of(music: Music) -> keys.Key:
    tonic, mode = music.key.split()
    return keys.Key(tonic, mode)


def _pulse(music: Music) -> str:
    """Return the length that the tempo counts, as a part of a whole note."""
    meter = meter_of(music)
    eighths = meter.pulse // meters.EIGHTH
    return f"{eighths}/8" if eighths % 2 else f"{eighths // 2}/4" if eighths % 4 else f"{eighths // 4}/2"
