"""Sound and scores: made by other programs, which may hang, crash or not be there."""

import io
import sys
import wave
from pathlib import Path

import pytest

from quire.music.meters import METERS
from worker.creative.midi import midi
from worker.creative.scores import read
from worker.rendering import tools
from worker.rendering.commands import CommandFailed, run
from worker.rendering.sound import RATE, wav
from worker.rendering.tools import Tools, find_tools

ABC = "X:1\nT:A Tune\nR:jig\nM:6/8\nL:1/8\nQ:3/8=112\nK:G\n|:D|GABc3|d6|e6|f4f:|\n"
FOUND = find_tools(None)

needs_fluidsynth = pytest.mark.skipif(
    FOUND.missing("wav") is not None, reason="fluidsynth or a soundfont is not installed"
)


def script(path: Path, text: str) -> str:
    path.write_text(f"#!{sys.executable}\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_a_score_is_drawn() -> None:
    assert FOUND.engraver is not None

    score = run(FOUND.engraver, seconds=60, data=ABC.encode())

    assert score.startswith((b"<svg", b"<?xml"))
    assert score.count(b'class="note"') == 9
    assert b"<script" not in score


@pytest.mark.parametrize("data", [b"", b"no tune", ABC.replace("|:D|", "[[[{{(((").encode()])
def test_what_is_no_tune_ends_the_engraver_alone(data: bytes) -> None:
    assert FOUND.engraver is not None

    with pytest.raises(CommandFailed, match=r"crashed|ended with status"):
        run(FOUND.engraver, seconds=60, data=data)


def test_a_program_that_hangs_is_ended() -> None:
    with pytest.raises(CommandFailed, match=r"longer than 0\.5 s"):
        run([sys.executable, "-c", "import time; time.sleep(600)"], seconds=0.5)


def test_a_program_that_crashes_takes_nobody_along() -> None:
    with pytest.raises(CommandFailed, match=r"crashed .SIGSEGV."):
        run([sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"], seconds=30)


def test_a_program_that_eats_memory_ends() -> None:
    with pytest.raises(CommandFailed, match="MemoryError"):
        run([sys.executable, "-c", "bytes(2**30)"], seconds=30, memory=2**29)


def test_a_program_that_is_not_there_is_told() -> None:
    with pytest.raises(CommandFailed, match="no-such-program cannot be started"):
        run(["/nowhere/no-such-program"], seconds=1)


@needs_fluidsynth
def test_a_tune_becomes_sound() -> None:
    played = midi(read(ABC), meter=METERS["6/8"], tempo=112, program=73)

    sound = wav(played, fluidsynth=FOUND.fluidsynth or "", soundfont=FOUND.soundfont or "")

    with wave.open(io.BytesIO(sound)) as opened:
        assert (opened.getnchannels(), opened.getsampwidth(), opened.getframerate()) == (1, 2, RATE)
        seconds = opened.getnframes() / RATE
        loudest = max(abs(value) for value in memoryview(opened.readframes(opened.getnframes())).cast("h"))
    # Four bars and a repeat of them at 112 dotted quarters a minute, and what rings on.
    assert 8 * 2 * 60 / 112 <= seconds < 8 * 2 * 60 / 112 + 6
    assert loudest > 1_000


def test_a_synthesizer_that_writes_nothing_is_told(tmp_path: Path) -> None:
    silent = script(tmp_path / "fluidsynth", "")

    with pytest.raises(CommandFailed, match="wrote no sound"):
        wav(b"MThd", fluidsynth=silent, soundfont="none")


def test_what_is_missing_is_named() -> None:
    nothing = Tools(fluidsynth=None, soundfont=None, engraver=None)
    no_font = Tools(fluidsynth="/usr/bin/fluidsynth", soundfont=None, engraver=("engraver",))

    assert nothing.renders == ["abc", "midi"]
    assert nothing.missing("wav") == tools.INSTALL_FLUIDSYNTH
    assert nothing.missing("svg") == tools.INSTALL_VEROVIO
    assert no_font.renders == ["abc", "midi", "svg"]
    assert no_font.missing("wav") == tools.INSTALL_SOUNDFONT


def test_the_operators_soundfont_is_the_one_or_none(tmp_path: Path) -> None:
    mine = tmp_path / "mine.sf2"

    assert find_tools(mine).soundfont is None
    mine.touch()
    assert find_tools(mine).soundfont == str(mine)
