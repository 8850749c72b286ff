"""The check before delivery: what is wrong with a tune is found, whoever wrote it."""

from types import SimpleNamespace

import pytest
from symusic import Score

from quire.music.keys import MODES, Key
from quire.music.meters import METERS
from worker.creative.checking import Wanted, faults
from worker.creative.midi import midi
from worker.creative.scores import NotATune, key_of, read, signature

HEADER = "X:1\nT:A Tune\nR:jig\nM:6/8\nL:1/8\nQ:3/8=112\nK:G\n"
GOOD = "D|GAB c>BA|(3Bcd e2d2|g3/2f/ e4|1d4d:|2d4g|]"
WANTED = Wanted("6/8", "G major", 4)


def found(body: str, header: str = HEADER, wanted: Wanted = WANTED) -> list[str]:
    return faults(header + body + "\n", wanted)


def test_a_good_tune_has_no_faults() -> None:
    assert found(GOOD) == []


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ("GAB c3|d6|e6|f5|]", "bars: bar 4"),
        ("GAB c3|d6|e6|f7|]", "bars: bar 4"),
        ("GAB c3|d6|e6|]", "bars: 3, not 4"),
        ("D|GAB c3|d6|e6|f6|]", "bars: bar 4"),
        ("GAB c3|d6:|D|e6|f5|]", "bars: a section begins"),
        ("|:GAB c3|d6|e6|f6|]", "repeats: a |: that is never closed"),
        ("|:GAB c3|d6|:e6|f6:|", "repeats: a |: before"),
        ("GAB c3|d6|e6|1f6|]", "repeats: a first ending"),
        ("GAB c3|d6|e6|f6|", "end: |"),
        ("GAB ^c3|d6|e6|f6|]", "key: 1 notes"),
        ("GAB ^f3|d6|e6|f6|]", "key: accidentals"),
        ("GAB c3|d6|e6|z6|z", "unreadable: the tune does not end"),
        ("GAB c3|d6|[ce]6|f6|]", "unreadable: '[ce]6"),
        ("GAB c3|d6|e6|(3f4|]", "unreadable: the tune ends inside"),
        ("z6|z6|z6|z6|]", "notes: there are none"),
    ],
)
def test_each_fault_is_named(body: str, word: str) -> None:
    assert any(fault.startswith(word) for fault in found(body)), found(body)


@pytest.mark.parametrize(
    ("wanted", "word"),
    [
        (Wanted("9/8", "G major", 4), "meter:"),
        (Wanted("6/8", "D major", 4), "key: G"),
        (Wanted("6/8", "E minor", 4), "key: G"),
        (Wanted("6/8", "G major", 8), "bars: 4, not 8"),
    ],
)
def test_another_tune_than_asked_is_found(wanted: Wanted, word: str) -> None:
    assert any(fault.startswith(word) for fault in found(GOOD, wanted=wanted))


def test_the_other_reader_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    other = Score.from_abc(HEADER + GOOD.replace("GAB", "GAA") + "\n")
    monkeypatch.setattr("worker.creative.checking.Score", SimpleNamespace(from_abc=lambda _: other))

    assert found(GOOD) == ["notes: differ"]


def test_a_header_without_a_key_is_no_tune() -> None:
    with pytest.raises(NotATune, match="lacks"):
        read("X:1\nM:6/8\nL:1/8\nGAB|]")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("tonic", ["C", "D", "E", "F", "G", "A", "B", "Bb", "F#", "Eb"])
def test_two_ways_to_find_a_signature_agree(tonic: str, mode: str) -> None:
    key = Key(tonic, mode)
    if abs(key.fifths) > 7:
        pytest.skip("no signature has so many")

    assert signature(tonic, mode) == key.signature


def test_keys_are_read_as_they_are_written() -> None:
    assert [key_of(text) for text in ("G", "Em", "F#min", "Ador")] == [
        ("G", "major"), ("E", "minor"), ("F#", "minor"), ("A", "dorian"),
    ]  # fmt: skip


def test_the_midi_file_holds_the_tune_as_it_is_played() -> None:
    tune = read(HEADER + GOOD + "\n")

    score = Score.from_midi(midi(tune, meter=METERS["6/8"], tempo=112, program=73))

    (track,) = score.tracks
    expected = Score.from_abc(HEADER + GOOD + "\n").tracks[0]
    assert [note.pitch for note in track.notes] == [note.pitch for note in expected.notes]
    # symusic's own reader of ABC begins a tick late and ends each note one early.
    assert [note.time for note in track.notes[1:]] == [note.time - 1 for note in expected.notes[1:]]
    assert track.program == 73
    assert round(score.tempos[0].qpm) == 168
    assert (score.time_signatures[0].numerator, score.time_signatures[0].denominator) == (6, 8)
    assert score.key_signatures[0].key == 1


def test_a_tie_is_one_note() -> None:
    tune = read(HEADER + "G6-|G6|A6|B6|]\n")

    score = Score.from_midi(midi(tune, meter=METERS["6/8"], tempo=60, program=0))

    assert [(note.pitch, note.duration) for note in score.tracks[0].notes] == [(67, 2880), (69, 1440), (71, 1440)]
