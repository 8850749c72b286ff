"""Does music jobs: draws tunes, checks each, draws anew what fails, and makes sound and scores of what is good.

All of it is done on the thread of the job's slot. Nothing of a tune is written before it is checked, so a job that
is taken up again begins anew, and comes to the same tunes.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from quire.artifacts import Made
from quire.crypto import DataKey
from quire.errors import TuneFailed
from quire.jobs import Claimed
from quire.music.instruments import program_of
from quire.pieces import Entry, Piece, as_entries, fold
from quire.spec import Music, Spec
from worker.creative import music, text
from worker.creative.abc import document, meter_of, wanted
from worker.creative.checking import faults
from worker.creative.midi import midi
from worker.creative.scores import read
from worker.creative.tunes import Vocabulary
from worker.engine import Request
from worker.rendering.commands import CommandFailed, run
from worker.rendering.sound import wav
from worker.rendering.tools import Tools
from worker.sequences import Lost, Sequences
from worker.writer import AWAY, RETRY_SECONDS

log = logging.getLogger(__name__)

ENGRAVING_SECONDS = 20.0
Save = Callable[[Claimed, DataKey, Sequence[Made]], bool]


class Studio:
    """`save` keeps artifacts and is False if the job was lost; `retries`: how often a tune is drawn anew.

    `places`: how many programs may run at once.
    """

    def __init__(
        self,
        *,
        encode: Callable[[str], Iterable[int]],
        vocabulary: Vocabulary,
        tools: Tools,
        save: Save,
        retries: int,
        places: int,
    ) -> None:
        self._encode = encode
        self._vocabulary = vocabulary
        self._tools = tools
        self._save = save
        self._retries = retries
        self._places = threading.BoundedSemaphore(places)

    def make(
        self, job: Claimed, spec: Spec, written: Sequence[Piece], key: DataKey, sequences: Sequences
    ) -> list[Entry]:
        """Do a job; returns what is to be written of it beside the artifacts, which are kept by then.

        Raises:
            TuneFailed: a tune was not right however often it was drawn.
            Lost: the job is somebody else's by now.
            EngineError: what the engine raised.

        """
        if spec.music is None:
            raise ValueError("the job asks for no music")
        pieces = list(written) or self._drawn(job, spec, spec.music, sequences)
        for piece in pieces:
            made = list(self._made(spec.music, spec.input.title, piece, sequences))
            self._keep(job, key, made, sequences)
        return [] if written else as_entries(pieces)

    def _drawn(self, job: Claimed, spec: Spec, tune: Music, sequences: Sequences) -> list[Piece]:
        """Draw until every tune is right; returns the best n."""
        deadline = None if job.seconds_left is None else time.monotonic() + job.seconds_left
        prompt = tuple(self._encode(spec.input.prompt))
        good: dict[int, Piece] = {}
        scores: dict[int, float] = {}
        wrong: dict[int, str] = dict.fromkeys(range(spec.parameters.draws), "")
        for retry in range(self._retries + 1):
            plan = music.requests(
                tune, spec.parameters, wrong, vocabulary=self._vocabulary, seed=job.seed, retry=retry,
                prompt=prompt, scope=str(job.tenant_id), deadline=deadline,
            )  # fmt: skip
            pieces = _run(plan, sequences, scores)
            wrong = {draw: found[0] for draw, piece in pieces.items() if (found := self._faults(tune, piece))}
            good |= {draw: piece for draw, piece in pieces.items() if draw not in wrong}
            if not wrong:
                break
            log.warning("tunes wrong", extra={"action": "tunes_wrong", "draws": len(wrong), "retry": retry})
        else:
            last = next(iter(wrong.values()))
            raise TuneFailed(f"A tune was drawn {self._retries + 1} times and never right; the last: {last}.")
        if spec.parameters.draws == spec.parameters.n:
            return [good[draw] for draw in sorted(good)]
        return text.best(good, scores, spec.parameters.n)

    @staticmethod
    def _faults(tune: Music, piece: Piece) -> list[str]:
        return faults(document(tune, None, (tune.opening or "") + piece.text), wanted(tune))

    def _made(self, tune: Music, title: str | None, piece: Piece, sequences: Sequences) -> Iterator[Made]:
        """Make every kind of artifact that is asked for; what cannot be made says why."""
        abc = document(tune, title, (tune.opening or "") + piece.text)
        played = midi(read(abc), meter=meter_of(tune), tempo=tune.tempo, program=program_of(tune.instrument) or 0)
        makers: dict[str, Callable[[], bytes]] = {
            "abc": abc.encode,
            "midi": lambda: played,
            "wav": lambda: self._sound(played),
            "svg": lambda: self._score(abc),
        }
        for kind in tune.artifacts:
            sequences.go_on()
            reason = self._tools.missing(kind)
            if reason is None:
                try:
                    yield Made(piece.index, kind, makers[kind]())
                    continue
                except CommandFailed as error:
                    reason = f"The program that makes it {error}."
                    log.warning("not rendered", extra={"action": "not_rendered", "kind": kind, "why": str(error)})
            yield Made(piece.index, kind, unavailable=reason)

    def _sound(self, played: bytes) -> bytes:
        with self._places:
            return wav(played, fluidsynth=self._tools.fluidsynth or "", soundfont=self._tools.soundfont or "")

    def _score(self, abc: str) -> bytes:
        with self._places:
            return run(self._tools.engraver or (), seconds=ENGRAVING_SECONDS, data=abc.encode())

    def _keep(self, job: Claimed, key: DataKey, made: Sequence[Made], sequences: Sequences) -> None:
        """Keep artifacts, however long Postgres is away."""
        while True:
            try:
                if not self._save(job, key, made):
                    raise Lost
                return
            except AWAY as error:
                log.warning("not kept yet", extra={"action": "keep_failed", "error": str(error)})
            sequences.go_on()
            time.sleep(RETRY_SECONDS)


def _run(plan: Mapping[int, Request], sequences: Sequences, scores: dict[int, float]) -> dict[int, Piece]:
    """Run a plan to its end; returns what was drawn, and adds to `scores` the mean log-probabilities."""
    entries: dict[int, list[Entry]] = {draw: [] for draw in plan}
    for draw, finished in sequences.run(plan, lambda draw, delta: entries[draw].append(text.entry(draw, delta))):
        entries[draw].append(Entry(draw, (), "", finish=finished.reason))
        scores[draw] = finished.mean_logprob
    return {draw: fold(parts)[0] for draw, parts in entries.items()}
