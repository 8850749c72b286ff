"""The constraint in the engine: tunes of a model that knows nothing are right, and go on exactly when resumed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from quire.pieces import Entry, fold
from quire.spec import Parameters
from tests.tunes import tiny_tunes
from tests.unit.music.test_grammar import form, music
from worker.creative.abc import document, wanted
from worker.creative.checking import faults
from worker.creative.music import requests
from worker.creative.tunes import Vocabulary
from worker.engine import Delta, Engine, Request

ASKED = music(form("4/4", "A dorian", 8))


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder: Path = tiny_tunes(tmp_path_factory.mktemp("tunes"))
    engine = Engine.load(str(folder), slots=4, threads=1)
    engine.start()
    yield engine
    engine.stop()


def plan(engine: Engine, *, draws: int = 1, retry: int = 0, **changes: object) -> list[Request]:
    vocabulary = Vocabulary(engine.tokenizer.texts, size=engine.vocab_size, end_ids=engine.tokenizer.end_ids)
    prompt = engine.tokenizer.encode("<jig><4/4><A dorian>\n")
    made = requests(
        ASKED, Parameters(max_tokens=200, **changes), range(draws), vocabulary=vocabulary, seed=3, retry=retry,
        prompt=prompt,
    )  # fmt: skip
    return list(made.values())


def written(engine: Engine, request: Request) -> tuple[str, tuple[int, ...]]:
    entries: list[Entry] = []

    def take(delta: Delta) -> None:
        entries.append(Entry(0, delta.tokens, delta.text))

    engine.submit(request, take).result(timeout=120)
    (piece,) = fold(entries)
    return piece.text, piece.ids


@pytest.mark.parametrize("sampling", [{}, {"temperature": 0.0}, {"top_k": 5}, {"top_p": 0.5, "temperature": 1.5}])
def test_tunes_are_right_however_they_are_drawn(engine: Engine, sampling: dict[str, object]) -> None:
    for request in plan(engine, draws=3, **sampling):
        text, _ = written(engine, request)

        assert faults(document(ASKED, None, text), wanted(ASKED)) == []


def test_a_tune_goes_on_exactly_where_it_was(engine: Engine) -> None:
    (request,) = plan(engine)
    text, ids = written(engine, request)

    for cut in (1, len(ids) // 2, len(ids) - 1):
        resumed = Request(
            request.prompt, request.sampling, generated=ids[:cut], published=0, constraint=request.constraint
        )
        assert written(engine, resumed) == (text, ids[cut:])


def test_another_retry_is_another_tune(engine: Engine) -> None:
    (first,), (again,) = plan(engine), plan(engine, retry=1)

    assert written(engine, first) != written(engine, again)
