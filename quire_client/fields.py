"""What may be asked of a job, by name."""

import base64
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypedDict


class JobFields(TypedDict, total=False):
    """The fields of a job beside its `prompt`. What is left out, or None, is the server's default.

    The server knows the ranges and names the field that is outside of its own.
    """

    kind: str | None
    longform: Mapping[str, object] | None  # the book of kind longform: title, premise, parts …
    model: str | None
    form: str | None  # story, poem, article, verse, 五绝, 七绝, 五律, 七律, 词, 曲: a template writes the prompt
    title: str | None
    theme: str | None
    style: str | None  # with a form; with a Chinese one a poet; of music: jig, reel, waltz …
    lines: int | None  # exactly so many; of poem and verse
    stanza: int | None  # lines of each stanza
    rhyme: str | None  # a letter for each line, as ABAB; none switches that of a Chinese form off
    meter: str | None  # of verse, as iambic tetrameter; of music, as 6/8
    syllables: int | None  # of each line
    key: str | None  # of music, as G major
    tempo: int | None  # of music: pulses a minute
    bars: int | None  # of music
    accidentals: bool | None  # of music: allow those that suit the key
    opening: str | None  # of music: ABC that the tune begins with
    opening_midi: bytes | str | None  # the same as a MIDI file, or as its base64
    instrument: str | None  # of music: by its General MIDI name
    artifacts: Sequence[str] | None  # of music: midi, wav, svg beside abc
    truncate: str | None  # start or end: which side of a prompt that is too long may be cut
    n: int | None  # pieces
    best_of: int | None  # draws, of which the best n are kept
    seed: int | None
    max_tokens: int | None
    min_tokens: int | None
    temperature: float | None  # 0 is greedy
    top_k: int | None
    top_p: float | None
    min_p: float | None
    repetition_penalty: float | None
    presence_penalty: float | None
    frequency_penalty: float | None
    logit_bias: Mapping[str, float] | Mapping[int, float] | None  # by token id
    stop: str | Sequence[str] | None
    banned: Sequence[str] | None
    logprobs: int | None
    not_before: datetime | str | None
    deadline: datetime | str | None
    priority: int | None
    metadata: Mapping[str, str] | None
    retention_hours: int | None  # deleted so long after its end


def plain(fields: Mapping[str, object]) -> dict[str, Any]:
    """Make the fields fit for JSON, without those that are None.

    Raises:
        ValueError: a time has no zone, so it means another moment on another machine.

    """
    return {name: _value(name, value) for name, value in fields.items() if value is not None}


def _value(name: str, value: object) -> object:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if not isinstance(value, datetime):
        return value
    if value.tzinfo is None:
        raise ValueError(f"{name}: {value} has no time zone")
    return value.isoformat()
