"""Writes a tune as a Standard MIDI File, as it is played: repeats included."""

from collections.abc import Iterator
from fractions import Fraction

from quire.music.meters import TICKS_OF_WHOLE, Meter
from worker.creative.scores import Tune, key_of, signature

QUARTER = 480  # ticks of the file; whole numbers for all lengths there are
LOUD, SOFT = 96, 80
CHANNEL = 0


def midi(tune: Tune, *, meter: Meter, tempo: int, program: int) -> bytes:
    """Write a tune. `tempo`: pulses of its meter a minute; `program`: of General MIDI, from 0."""
    track = b"".join(_track(tune, meter, tempo, program))
    header = b"MThd" + (6).to_bytes(4, "big") + (0).to_bytes(2, "big") + (1).to_bytes(2, "big")
    return header + QUARTER.to_bytes(2, "big") + b"MTrk" + len(track).to_bytes(4, "big") + track


def _track(tune: Tune, meter: Meter, tempo: int, program: int) -> Iterator[bytes]:
    quarters = tempo * meter.pulse / (TICKS_OF_WHOLE / 4)
    yield _meta(0x03, tune.fields.get("T", "").encode()[:100])
    yield _meta(0x51, round(60_000_000 / quarters).to_bytes(3, "big"))
    yield _meta(0x58, bytes([meter.beats, meter.unit.bit_length() - 1, 24, 8]))
    tonic, mode = key_of(tune.fields["K"])
    altered = sum(signature(tonic, mode).values())
    yield _meta(0x59, altered.to_bytes(1, "big", signed=True) + bytes([mode == "minor"]))
    yield b"\x00" + bytes([0xC0 | CHANNEL, program])
    waited = Fraction(0)
    sounding: int | None = None
    for note in tune.played():
        if sounding is None and note.pitch is not None:
            yield _length(waited) + bytes([0x90 | CHANNEL, note.pitch, LOUD])
            waited, sounding = Fraction(0), note.pitch
        waited += note.length
        if sounding is not None and not note.tied:
            yield _length(waited) + bytes([0x80 | CHANNEL, sounding, SOFT])
            waited, sounding = Fraction(0), None
    yield b"\x00" + b"\xff\x2f\x00"


def _meta(kind: int, data: bytes) -> bytes:
    return b"\x00\xff" + bytes([kind]) + _variable(len(data)) + data


def _length(part: Fraction) -> bytes:
    """Write a part of a whole note as the time before an event."""
    return _variable(int(part * 4 * QUARTER))


def _variable(number: int) -> bytes:
    """Write a number in seven bits a byte."""
    written = [number & 0x7F]
    while number := number >> 7:
        written.append(number & 0x7F | 0x80)
    return bytes(reversed(written))
