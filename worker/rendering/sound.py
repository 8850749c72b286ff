"""From MIDI to sound, by fluidsynth."""

import io
import tempfile
import wave
from pathlib import Path

import numpy as np

from worker.rendering.commands import CommandFailed, run

RATE = 22_050  # samples a second
GAIN = "0.6"
SECONDS = 120.0  # that it may take


def wav(midi: bytes, *, fluidsynth: str, soundfont: str, seconds: float = SECONDS) -> bytes:
    """Play a MIDI file; returns WAV: one channel of 16 bits.

    Raises:
        CommandFailed: fluidsynth failed, or wrote no sound.

    """
    with tempfile.TemporaryDirectory(prefix="quire-sound-") as folder:
        source, target = Path(folder, "tune.mid"), Path(folder, "tune.wav")
        source.write_bytes(midi)
        command = [fluidsynth, "-ni", "-q", "-g", GAIN, "-r", str(RATE), "-O", "s16", "-T", "wav",
                   "-F", str(target), soundfont, str(source)]  # fmt: skip
        run(command, seconds=seconds)
        if not target.is_file():
            raise CommandFailed("wrote no sound")
        return _in_one_channel(target)


def _in_one_channel(path: Path) -> bytes:
    with wave.open(str(path), "rb") as stereo:
        channels, rate = stereo.getnchannels(), stereo.getframerate()
        samples = np.frombuffer(stereo.readframes(stereo.getnframes()), dtype="<i2").reshape(-1, channels)
    if not len(samples):
        raise CommandFailed("wrote no sound")
    mixed = samples.astype(np.int32).mean(axis=1).round().astype("<i2")
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as mono:
        mono.setnchannels(1)
        mono.setsampwidth(2)
        mono.setframerate(rate)
        mono.writeframes(mixed.tobytes())
    return buffer.getvalue()
