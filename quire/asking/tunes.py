"""From a checked request for music to the tune that is asked for: style, meter, key and opening together."""

import base64
import binascii
from dataclasses import dataclass
from typing import NoReturn

from quire.asking.request import JobRequest
from quire.errors import InvalidField
from quire.music import budget, keys, meters, smf
from quire.music.grammar import Form
from quire.music.instruments import program_of
from quire.music.opening import BadOpening, opening
from quire.music.styles import STYLES, Style
from quire.preparation import prepare
from quire.spec import ArtifactKind, Music

DEFAULT_KEY = "G major"
DEFAULT_BARS = 16
DEFAULT_INSTRUMENT = "fiddle"
ALL: tuple[ArtifactKind, ...] = ("abc", "midi", "wav", "svg")


@dataclass(frozen=True)
class Tune:
    """What is asked for, and the text that the model is given for it."""

    music: Music
    title: str | None
    prompt: str
    form: Form


def ordered(wanted: JobRequest, title: str | None, theme: str | None) -> Tune:
    """Decide what was left open, and check that all fits together.

    Raises:
        InvalidField: the field at fault is named.

    """
    style = _style(wanted)
    meter = _meter(wanted, style)
    key = keys.parse(wanted.key or DEFAULT_KEY) or _refuse(
        "key", f"'{wanted.key}' is no key, as G major or A dorian is"
    )
    form = Form(meter, key, wanted.bars or DEFAULT_BARS, bool(wanted.accidentals))
    instrument = wanted.instrument or DEFAULT_INSTRUMENT
    if program_of(instrument) is None:
        _refuse(
            "instrument", f"'{instrument}' is no instrument of General MIDI, as fiddle, flute or harpsichord are"
        )
    begun = _opening(wanted, form)
    heading = title or theme
    music = Music(
        style=style.name,
        meter=str(meter),
        key=str(key),
        tempo=wanted.tempo or style.tempo,
        bars=form.bars,
        accidentals=form.accidentals,
        opening=begun,
        instrument=" ".join(instrument.lower().split()),
        artifacts=[kind for kind in ALL if kind == "abc" or wanted.artifacts is None or kind in wanted.artifacts],
    )
    return Tune(music, heading, f"<{style.name}><{meter}><{key}>{heading or ''}\n{begun or ''}", form)


def tokens_of(tune: Tune, room: int) -> int:
    """Return the tokens that each piece is given, of those that the prompt leaves.

    Raises:
        InvalidField: so many bars do not fit.

    """
    if room < budget.tight(tune.form):
        _refuse("bars", f"{tune.form.bars} bars of {tune.form.meter} do not fit the model's context")
    return min(room, budget.roomy(tune.form))


def _style(wanted: JobRequest) -> Style:
    name = " ".join(prepare(wanted.style or "").text.lower().split())
    return STYLES.get(name) or _refuse("style", f"Should be one of {', '.join(STYLES)}")


def _meter(wanted: JobRequest, style: Style) -> meters.Meter:
    if wanted.meter is None:
        return style.meters[0]
    meter = meters.parse(wanted.meter)
    if meter not in style.meters:
        _refuse("meter", f"A {style.name} is in {' or '.join(map(str, style.meters))}")
    return meter


def _opening(wanted: JobRequest, form: Form) -> str | None:
    if wanted.opening is None and wanted.opening_midi is None:
        return None
    field = "opening" if wanted.opening is not None else "opening_midi"
    try:
        if wanted.opening is not None:
            return opening(prepare(wanted.opening).text, form)
        return opening(smf.to_abc(smf.melody(_decoded(wanted.opening_midi or "")), form), form)
    except (BadOpening, smf.BadMidi) as error:
        _refuse(field, str(error))


def _decoded(encoded: str) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise smf.BadMidi("Is no base64") from None


def _refuse(field: str, message: str) -> NoReturn:
    raise InvalidField.one(field, message)
