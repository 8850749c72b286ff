from fractions import Fraction

import pytest

from training.tunes import books, crediting, families, transposing, writing
from training.tunes.measuring import adds_up, ends_on_tonic, full_measures, intervals, originals
from training.tunes.notes import Key, Tune, pitches, read_key
from training.tunes.reading import UnreadableError

HEADER = "X:1\nT:Kettle, The\nR:jig\nM:6/8\nK:{key}\n"
TWO_STRAINS = "D|:G3 GAB|ded B2A|G3 E3|D3 D2:|\n|:d|e3 dBG|A3 Bcd|edc BAG|A3 G2:|\n"


def tune(body: str, key: str = "G") -> Tune:
    (source,) = books.sources("airdsAirs", "a.abc", HEADER.format(key=key) + body)
    return books.read(source)


@pytest.mark.parametrize(
    ("body", "right"),
    [
        ("G3A3|B3c3|]", True),
        ("D|G3A3|B3c2|]", True),
        ("|:D|G3A3|B3c2:|", True),
        ("(3GAB(3cdeg2|G6|]", True),
        ("|:G3A3|[1B6:|[2c6|]", True),
        ("G3A3|B3c2|B3c3|]", False),
        ("D|G3A3|B3c3|]", False),
        ("G3A3|B3c3d|]", False),
        ("G3A3|Q|]", False),
        ("", False),
    ],
)
def test_bars_add_up_to_the_meter_with_pickups_allowed(body: str, right: bool) -> None:
    assert adds_up(body, "6/8") is right


def test_a_tune_is_read_and_written_in_one_form() -> None:
    found = tune("|:G3 GAB|d>ed {c}B2A|G3 E3|\n(3ded c2 B4/2:|")

    assert (found.title, found.style, found.meter, found.key.name) == ("The Kettle", "jig", "6/8", "G major")
    assert writing.body(found) == "|:G3GAB|d3/2e/2dB2A|G3E3|(3dedc2B2:|"


def test_what_is_written_adds_up_again() -> None:
    assert adds_up(writing.body(tune("|:G3 GAB|ded B2A|G3 E3|D6:|")), "6/8")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("G3 GAB|d2|G6|]", "bars"),
        ("(5GABcd e|G6|]", "tuplet"),
        ("G3 G&AB|", "sign"),
        ("|:A6|[1,3 B6:|", "endings"),
    ],
)
def test_a_tune_that_cannot_be_kept_exactly_is_refused(body: str, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason):
        tune(body)


def test_a_tune_sounds_the_same_in_every_key() -> None:
    found = tune("|:G3 ^GAB|d=fd B2A|G3 E3|D6:|")

    moved = transposing.transpositions(found, 6)

    assert len({other.key for other in moved}) == 6
    for other in moved:
        assert families.intervals(other) == families.intervals(found)
        assert min(pitches(other)) >= transposing.LOWEST


def test_a_melody_in_another_key_is_a_repetition() -> None:
    found = tune("|:G3 GAB|ded B2A|G3 E3|D6:|")
    other = tune("|:c3 cde|gag e2d|c3 B3|A6:|", "C")

    assert families.unique([found, transposing.transpositions(found, 2)[1], other]) == [0, 2]


def test_tunes_that_share_phrases_are_one_family() -> None:
    first = tune("|:G3 GAB|ded B2A|G3 E3|D2E GAB:|")
    kin = tune("|:G3 GAB|ded B2A|G3 E3|D2E F3:|")
    other = tune("|:e2d c2A|B2c d2e|fgf edc|d2B A3:|")

    numbers = families.families([first, other, kin], 0.3)

    assert numbers[0] == numbers[2] != numbers[1]


def test_intervals_of_a_text_are_those_of_its_tune_and_know_its_accidentals() -> None:
    assert intervals("<jig><6/8><G major>\nGF=FF|FG") == [128 - 1, 128 - 1, 128, 128 + 1, 128 + 1]


def test_originals_leave_out_transpositions(tmp_path: "pytest.TempPathFactory") -> None:
    from training.documents import Document, write

    first = tune("|:G3 GAB|ded B2A|G3 E3|D6:|")
    second = tune("|:e2d c2A|B2c d2e|fgf edc|d2B A3:|")
    texts = [
        f"<jig><6/8><{t.key.name}>\n{writing.body(t)}"
        for one in (first, second)
        for t in transposing.transpositions(one, 4)
    ]
    write(tmp_path / "train.jsonl", [Document("jig", text) for text in texts])

    assert list(originals(tmp_path / "train.jsonl")) == [texts[0], texts[4]]


@pytest.mark.parametrize(
    ("text", "key"),
    [("Bb major", Key(6, -1, "major")), ("A dor", Key(5, 0, "dorian")), ("Em", Key(2, 0, "minor")), ("Hp", None)],
)
def test_keys_are_read_as_they_are_spelled(text: str, key: Key | None) -> None:
    assert read_key(text) == key


def test_lengths_are_written_as_abc_has_them() -> None:
    assert [writing.length_text(Fraction(*n)) for n in ((1, 1), (2, 1), (1, 2), (3, 2))] == ["", "2", "/2", "3/2"]


def test_symusic_reads_a_composed_tune() -> None:
    symusic = pytest.importorskip("symusic")

    score = symusic.Score.from_abc(writing.abc("jig", "6/8", "Eb major", "A Tune", "|:E3EFG|B6:|"))

    assert [note.pitch for note in score.tracks[0].notes] == [63, 63, 65, 67, 70] * 2


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ('"Transcribed by Bob Roe, rjs@a.org"', "Bob Roe"),
        ("Contributed 20021129 by Ann Doe ann:doe.org", "Ann Doe"),
        ("Contributed by Ann Doe,  ann:doe9.uk", "Ann Doe"),
        ("1997 by John Roe <jc@a.edu>", "John Roe"),
        ("Jack Doe * www.doe.uk * 2009", "Jack Doe"),
        ("John B. Roe, <roe:mat:h.ca> 8/30/01", "John B. Roe"),
        ("Transcribed by henrik.roe@mail.se", "henrik.roe"),
        ("Transcribed by A. LEE ROE", "A. LEE ROE"),
        ("All ornaments (~) are trills.", ""),
        ("D.C. under last bar-line.", ""),
        ("abc 2.1", ""),
    ],
)
def test_a_transcriber_is_named_without_address_and_date(field: str, name: str) -> None:
    assert crediting.transcriber(field) == name


def test_full_measures_and_last_notes_are_counted() -> None:
    texts = ["<jig><6/8><G major>\nG3A3|B3|c6|G6|]", "<jig><6/8><D dorian>\nG3A3|E6|]"]

    assert full_measures(texts) == pytest.approx(5 / 6, abs=1e-3)
    assert ends_on_tonic(texts) == 0.5


def test_a_melody_passes_over_what_cannot_be_read() -> None:
    assert intervals("<jig><6/8><G major>\nG?Ag") == intervals("<jig><6/8><G major>\nGAg") == [130, 138]
