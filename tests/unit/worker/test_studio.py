"""Music jobs through a fake engine: what is wrong is drawn anew, what is right is made into files and kept."""

import sys
from collections.abc import Callable, Sequence

import pytest

from quire.artifacts import Made
from quire.crypto import DataKey
from quire.errors import TuneFailed
from quire.jobs import Claimed
from quire.pieces import Piece, fold
from quire.spec import Input, Music, Parameters, Spec
from quire.testing import RING
from tests.unit.worker.fakes import AWAY, FakeEngine, byte_ids, claimed
from tests.unit.worker.places import Shop
from worker import studio as studios
from worker.creative.tunes import CHARACTERS, Vocabulary
from worker.engine import EngineCancelled, Request
from worker.rendering.tools import INSTALL_FLUIDSYNTH, Tools
from worker.sequences import Lost, Sequences
from worker.studio import Studio

GOOD = "|:D|GABc3|d6|e6|f4f:|"
BAD = "|:D|GABc3|d6|e6|f4:|"
ENGRAVER = (sys.executable, "-c", "import sys; print('<svg>', sys.stdin.read())")
TOOLS = Tools(fluidsynth=None, soundfont=None, engraver=ENGRAVER)
VOCABULARY = Vocabulary(["", *CHARACTERS], size=64, end_ids=[0])


def spec(**parameters: object) -> Spec:
    music = Music(
        style="jig", meter="6/8", key="G major", tempo=112, bars=4, accidentals=False, opening=None,
        instrument="flute", artifacts=["abc", "midi", "wav", "svg"],
    )  # fmt: skip
    prompt = Input(title="The Harbour", prompt="<jig><6/8><G major>The Harbour\n")
    return Spec(input=prompt, parameters=Parameters(max_tokens=64, **parameters), music=music)


class Room:
    """A studio with all that it speaks to."""

    def __init__(self, engine: FakeEngine, *, retries: int = 2, tools: Tools = TOOLS) -> None:
        self.engine = engine
        self.kept: list[Made] = []
        self.answers: list[bool | Exception] = []  # of the next attempts to keep something
        self.sequences = Sequences(engine)
        self.studio = Studio(
            encode=byte_ids, vocabulary=VOCABULARY, tools=tools, save=self._save, retries=retries, places=1
        )

    def _save(self, job: Claimed, key: DataKey, made: Sequence[Made]) -> bool:
        answer = self.answers.pop(0) if self.answers else True
        if isinstance(answer, Exception):
            raise answer
        if answer:
            self.kept += made
        return answer

    def make(self, asked: Spec, written: Sequence[Piece] = ()) -> list[Piece]:
        job = claimed()
        key = RING.unwrap(job.wrapped_key, job.tenant_id)
        return fold(self.studio.make(job, asked, written, key, self.sequences))


def by_retry(*answers: str) -> Callable[[Request], str]:
    return lambda request: answers[min(request.sampling.retry, len(answers) - 1)]


def test_a_tune_is_delivered_with_its_files() -> None:
    room = Room(FakeEngine(lambda _: GOOD))

    (piece,) = room.make(spec())

    assert (piece.text, piece.finish) == (GOOD, "stop")
    assert [made.name for made in room.kept] == ["tune-0.abc", "tune-0.mid", "tune-0.wav", "tune-0.svg"]
    abc, midi, wav, svg = room.kept
    assert abc.content.decode() == (
        "X:1\nT:The Harbour\nR:jig\nM:6/8\nL:1/8\nQ:3/8=112\n%%MIDI program 73\nK:G\n" + GOOD + "\n"
    )
    assert midi.content.startswith(b"MThd")
    assert (wav.content, wav.unavailable) == (b"", INSTALL_FLUIDSYNTH)
    assert b"K:G" in svg.content


def test_a_tune_that_is_wrong_is_drawn_anew() -> None:
    room = Room(FakeEngine(by_retry(BAD, BAD, GOOD)))

    (piece,) = room.make(spec())

    assert piece.text == GOOD
    assert [each.request.sampling.retry for each in room.engine.sequences] == [0, 1, 2]
    assert room.sequences.work == 3 * len(spec().input.prompt) + 2 * len(BAD) + len(GOOD)


def test_only_what_is_wrong_is_drawn_anew() -> None:
    def answer(request: Request) -> str:
        return BAD if (request.sampling.sample, request.sampling.retry) == (1, 0) else GOOD

    room = Room(FakeEngine(answer))

    pieces = room.make(spec(n=3))

    assert [piece.index for piece in pieces] == [0, 1, 2]
    drawn = [(each.request.sampling.sample, each.request.sampling.retry) for each in room.engine.sequences]
    assert drawn == [(0, 0), (1, 0), (2, 0), (1, 1)]


def test_after_so_many_draws_the_job_fails_and_says_why() -> None:
    room = Room(FakeEngine(lambda _: BAD), retries=2)

    with pytest.raises(
        TuneFailed, match="drawn 3 times and never right; the last: bars: bar 4 is 1/2 long, not 5/8"
    ):
        room.make(spec())

    assert len(room.engine.sequences) == 3
    assert room.kept == []


def test_of_several_draws_the_best_are_kept() -> None:
    scores = {0: -3.0, 1: -1.0, 2: -2.0}
    room = Room(FakeEngine(lambda _: GOOD, score=lambda request: scores[request.sampling.sample]))

    pieces = room.make(spec(n=2, best_of=3))

    assert [piece.index for piece in pieces] == [0, 1]
    assert {made.piece for made in room.kept} == {0, 1}


def test_each_draw_is_held_to_its_form() -> None:
    room = Room(FakeEngine(lambda _: GOOD))

    room.make(spec())

    (sequence,) = room.engine.sequences
    assert sequence.request.constraint is not None
    allowed = sequence.request.constraint().allowed()
    assert [VOCABULARY.texts[token] for token in (2, 8)] == ["D", "c"]
    assert allowed[[2, 8]].all()
    assert not allowed[[0, len(CHARACTERS)]].any()


def test_what_was_written_before_a_crash_gets_its_files_and_is_not_written_again() -> None:
    room = Room(FakeEngine(lambda _: GOOD))

    assert room.make(spec(), [Piece(0, byte_ids(GOOD), GOOD, "stop")]) == []

    assert room.engine.sequences == []
    assert len(room.kept) == 4


def test_while_postgres_is_away_it_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studios, "RETRY_SECONDS", 0.0)
    room = Room(FakeEngine(lambda _: GOOD))
    room.answers = [AWAY, AWAY, True]

    room.make(spec())

    assert len(room.kept) == 4


def test_a_job_that_was_lost_is_let_go() -> None:
    room = Room(FakeEngine(lambda _: GOOD))
    room.answers = [False]

    with pytest.raises(Lost):
        room.make(spec())


def test_a_job_that_is_stopped_is_rendered_no_further() -> None:
    room = Room(FakeEngine(lambda _: GOOD))
    written = [Piece(0, byte_ids(GOOD), GOOD, "stop")]
    room.sequences.cancel()

    with pytest.raises(EngineCancelled):
        room.make(spec(), written)

    assert room.kept == []


def test_a_program_that_crashes_costs_its_file_alone() -> None:
    crash = (sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGABRT)")
    room = Room(FakeEngine(lambda _: GOOD), tools=Tools(fluidsynth=None, soundfont=None, engraver=crash))

    room.make(spec())

    assert room.kept[3].unavailable == "The program that makes it crashed (SIGABRT)."


def test_a_program_that_hangs_costs_its_file_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studios, "ENGRAVING_SECONDS", 0.2)
    hangs = (sys.executable, "-c", "import time; time.sleep(60)")
    room = Room(FakeEngine(lambda _: GOOD), tools=Tools(fluidsynth=None, soundfont=None, engraver=hangs))

    room.make(spec())

    assert room.kept[3].unavailable == "The program that makes it took longer than 0.2 s."


def test_a_worker_for_texts_fails_a_music_job_and_says_so() -> None:
    shop = Shop(FakeEngine())
    job = claimed()
    key = RING.unwrap(job.wrapped_key, job.tenant_id)
    music = claimed(id=job.id, body=key.seal(spec().encode(), f"job:{job.id}"), wrapped_key=job.wrapped_key,
                    tenant_id=job.tenant_id)  # fmt: skip

    outcome = shop.serve(music)

    assert outcome is not None
    assert outcome.error == {"code": "tune_failed", "message": "The model of this job makes no music."}
