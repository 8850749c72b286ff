"""What a tune is asked for by: keys, meters, styles, instruments, openings, MIDI files."""

import pytest
from symusic import Score

from quire.music import budget, keys, meters, smf
from quire.music.grammar import Form, Grammar
from quire.music.instruments import NAMES, program_of
from quire.music.opening import BadOpening, opening, tidy
from quire.music.styles import STYLES

JIG = Form(meters.METERS["6/8"], keys.Key("G", "major"), 16)


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("G", "G major"), ("g major", "G major"), ("Gmaj", "G major"), ("Em", "E minor"), ("E minor", "E minor"),
        ("A dorian", "A dorian"), ("Ador", "A dorian"), ("D mix", "D mixolydian"), ("Bb", "Bb major"),
        ("B♭ major", "Bb major"), ("F# minor", "F# minor"), ("F sharp minor", "F# minor"), ("CM", "C major"),
    ],
)  # fmt: skip
def test_keys_are_read_as_people_write_them(written: str, key: str) -> None:
    assert str(keys.parse(written)) == key


@pytest.mark.parametrize("written", ["", "H", "G flat major minor", "Gx", "G# major", "Fb", "7", "A ionianish"])
def test_what_is_no_key_is_none(written: str) -> None:
    assert keys.parse(written) is None


def test_meters_have_names() -> None:
    assert [str(meters.parse(text)) for text in ("6/8", "C", "C|", "7/8")] == ["6/8", "4/4", "2/2", "None"]


@pytest.mark.parametrize(("meter", "pulse"), [("6/8", 36), ("9/8", 36), ("4/4", 24), ("2/2", 48), ("3/4", 24)])
def test_a_tempo_counts_what_a_foot_taps(meter: str, pulse: int) -> None:
    assert meters.METERS[meter].pulse == pulse


def test_there_are_128_instruments() -> None:
    assert len(set(NAMES)) == 128
    assert [program_of(name) for name in ("Fiddle", "acoustic  grand piano", "gunshot", "kazoo")] == [
        110,
        0,
        127,
        None,
    ]


def test_every_style_has_a_meter_that_fits_a_model_of_512_tokens() -> None:
    for style in STYLES.values():
        for meter in style.meters:
            form = Form(meter, JIG.key, 16)
            assert Grammar(form).least < budget.tight(form) < budget.roomy(form)
            assert budget.tight(form) < 512 - 32


def test_an_opening_loses_what_is_no_melody() -> None:
    asked = 'X:1\nT:A Tune\nK:G\n"G"~G2A (B2A)|{c}d3 !trill!e3 % well\n'

    assert opening(asked, JIG) == "G2A B2A|d3 e3"


def test_signs_get_one_spelling() -> None:
    assert tidy("A6|[1 B6 :|[2  c6 ||") == "A6|[1 B6 :|[2 c6 |"


@pytest.mark.parametrize(
    ("asked", "word"),
    [
        ("", "Holds no notes"),
        ("GAB cd|", "bar 1"),
        ("GAB c3|d6|ABc ^d", "bar 3"),
        ("[GB]6", "bar 1"),
        ("G6-", "Ends with a tie"),
        ("|".join(["G6"] * 16) + "|]", "whole tune"),
    ],
)
def test_an_opening_that_does_not_fit_says_where(asked: str, word: str) -> None:
    with pytest.raises(BadOpening, match=word):
        opening(asked, JIG)


def midi_of(body: str) -> bytes:
    return Score.from_abc(f"X:1\nT:x\nM:6/8\nL:1/8\nK:G\n{body}\n").dumps_midi()


def test_the_melody_of_a_midi_file_becomes_an_opening() -> None:
    written = smf.to_abc(smf.melody(midi_of("GAB c2B|A3 G>AB|")), JIG)

    assert opening(written, JIG) == "G A B c2 B | A3 G3/ A/ B |"


def test_a_long_note_is_tied_over_its_bars() -> None:
    assert smf.to_abc(smf.melody(midi_of("G6-|G3 A3|")), JIG) == "G6- | G3 A3 |"


def test_of_a_chord_the_highest_note_is_taken() -> None:
    assert smf.to_abc(smf.melody(midi_of("[GBd]3 c3|")), JIG) == "d3 c3 |"


def test_a_note_outside_the_key_is_refused_as_an_opening_is() -> None:
    with pytest.raises(BadOpening, match="bar 1"):
        opening(smf.to_abc(smf.melody(midi_of("G ^G A B3|")), JIG), JIG)


def test_a_rest_or_a_note_longer_than_the_tune_is_refused_before_it_is_written() -> None:
    long = b"\xff\xff\xff\x7f"  # 268 million ticks of a sixteenth
    for track in (
        b"\0\x90\x43\1\1\x80\x43\0" + long + b"\x90\x43\1\1\x80\x43\0",
        b"\0\x90\x43\1" + long + b"\x80\x43\0",
    ):
        data = b"MThd\0\0\0\6\0\0\0\1\0\4MTrk" + len(track).to_bytes(4) + track
        with pytest.raises(smf.BadMidi, match="longer than 16 bars of 6/8"):
            smf.to_abc(smf.melody(data), JIG)


def test_a_melody_may_have_all_the_bars_and_a_pickup() -> None:
    bar = JIG.meter.bar
    notes = [smf.Note(bar - 12, bar, 67), *(smf.Note(bar * n, bar * (n + 1), 67) for n in range(1, 17))]

    assert smf.to_abc(notes, JIG).count("|") == 17


@pytest.mark.parametrize(
    "data",
    [
        b"", b"MThd", b"RIFF" * 8, midi_of("GAB c3|")[:40], b"MThd\0\0\0\6\0\0\0\1\xe7\x28MTrk\0\0\0\0",
        b"MThd\0\0\0\6\0\0\0\1\1\xe0MTrk\0\0\0\4\0\x12\x34\x56", b"MThd\0\0\0\6\0\0\0\1\1\xe0MTrk\0\0\0\0",
        b"MThd\0\0\0\6\0\0\0\1\1\xe0MTrk\0\0\0\5\xff\xff\xff\xff\xff",
    ],
)  # fmt: skip
def test_what_is_no_midi_file_with_a_melody_is_refused(data: bytes) -> None:
    with pytest.raises(smf.BadMidi):
        smf.melody(data)
