"""Music jobs: which sequences to run for one, and what is checked and made of each tune."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from quire.music.grammar import Form
from quire.spec import Music, Parameters
from worker.creative.abc import key_of, meter_of
from worker.creative.text import sampling
from worker.creative.tunes import TuneConstraint, Vocabulary
from worker.engine import Request


def form_of(music: Music) -> Form:
    return Form(meter_of(music), key_of(music), music.bars, music.accidentals)


def requests(
    music: Music,
    parameters: Parameters,
    draws: Iterable[int],
    *,
    vocabulary: Vocabulary,
    seed: int,
    retry: int,
    prompt: Sequence[int],
    scope: str = "",
    deadline: float | None = None,
) -> dict[int, Request]:
    """Return the sequence of each draw; the `retry`-th of them is drawn anew.

    `scope`: whose memory of equal prompts they share. `deadline`: in seconds of `time.monotonic()`.
    """

    def constraint() -> TuneConstraint:
        opening = music.opening or ""
        return TuneConstraint(vocabulary, form_of(music), opening=opening, most=parameters.max_tokens)

    return {
        draw: Request(
            prompt=tuple(prompt),
            sampling=replace(sampling(parameters, seed=seed, draw=draw), retry=retry),
            scope=scope,
            constraint=constraint,
            deadline=deadline,
        )
        for draw in draws
    }
