"""A book on the shipped checkpoint: killed at random moments it becomes the one that was left alone."""

import random
from collections.abc import Iterator

import pytest

from quire.longform import Guard, Plan, PlannedPart
from quire.pieces import Entry, fold
from quire.spec import Parameters
from worker.creative.longform.book import Book
from worker.creative.longform.drawing import requests
from worker.creative.longform.loops import repetition
from worker.engine import Delta, Engine

PLAN = Plan(
    title="The Harbour",
    premise="A poem of the sea and the night.",
    form="epic",
    language="en",
    parts=tuple(PlannedPart(heading=f"Canto {n}", tokens=128) for n in (1, 2)),
    window=32,
    ending=48,
    guard=Guard(no_repeat=3, penalty=0.5),
)


class Killed(Exception):
    """The worker died here."""


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    from quire import testing

    engine = Engine.load(str(testing.checkpoint_folder()), slots=2, device="cpu", precision="fp32")
    engine.start()
    yield engine
    engine.stop()


def write(engine: Engine, log: list[Entry], dies_after: int) -> None:
    """Go on with a book from its log as `worker.novelist` does; dies when so many tokens are drawn."""
    book = Book(PLAN, seed=7, context=engine.context_length, tokenizer=engine.tokenizer, written=fold(log))
    drawn = 0
    while (window := book.next()) is not None:
        tokens: list[int] = []
        (asked,) = requests(
            window, PLAN.parts[window.part], Parameters(top_k=40), PLAN.guard, vocabulary=engine.vocab_size
        ).values()

        def take(delta: Delta, tokens: list[int] = tokens) -> None:
            tokens.extend(delta.tokens)

        engine.submit(asked, take).result(120)
        settled = window.settled - len(window.drawn)
        dying = dies_after - drawn
        if dying < len(tokens):
            log.append(book.write(window, tokens[: min(dying, settled)]))
            raise Killed
        drawn += len(tokens)
        log.append(book.write(window, tokens[:settled]))
        if window.last:
            log.append(book.end(window, tokens[settled:]))


def test_a_book_killed_at_random_moments_is_the_one_that_was_left_alone(engine: Engine) -> None:
    whole: list[Entry] = []
    write(engine, whole, dies_after=10**9)
    pieces = fold(whole)
    assert [piece.finish for piece in pieces] == ["stop", "stop"]
    assert all(len(piece.ids) >= 128 for piece in pieces)

    chance = random.Random(3)
    log: list[Entry] = []
    for _ in range(3):
        with pytest.raises(Killed):
            write(engine, log, dies_after=chance.randrange(10, 90))
    write(engine, log, dies_after=10**9)

    assert fold(log) == pieces
    assert repetition([token for piece in pieces for token in piece.ids], 3) == 0
