"""Long-form jobs through the runner: windows one after the other, written as they come."""

import pytest

from quire.errors import QuireError
from quire.jobs import Claimed
from quire.longform import Guard, Plan, PlannedPart
from quire.pieces import Piece
from quire.spec import Input, Parameters, Spec
from quire.store.job import State
from quire.testing import RING
from tests.unit.worker.fakes import FakeEngine, claimed
from tests.unit.worker.places import Shop
from tests.waiting import until
from worker.engine import Request

PLAN = Plan(
    title="Sea",
    premise="A voyage.",
    form="novel",
    language="en",
    parts=(
        PlannedPart(heading="Chapter 1", tokens=64, temperature=0.5),
        PlannedPart(heading="Chapter 2", tokens=32),
    ),
    window=32,
    ending=16,
    guard=Guard(no_repeat=0),
)


def book(guard: Guard = PLAN.guard, parts: tuple[PlannedPart, ...] = PLAN.parts, **columns: object) -> Claimed:
    job = claimed(**columns)
    plan = PLAN.model_copy(update={"guard": guard, "parts": parts})
    spec = Spec(input=Input(prompt="Sea"), parameters=Parameters(max_tokens=PLAN.most_tokens), longform=plan)
    body = RING.unwrap(job.wrapped_key, job.tenant_id).seal(spec.encode(), f"job:{job.id}")
    return Claimed(**{**vars(job), "body": body})


def numbered(request: Request) -> str:
    """Write sentences that tell which window they are of."""
    return (f"Seed {request.sampling.seed % 1000:03d}. " * 10)[: request.sampling.max_tokens]


def test_a_book_is_written_window_by_window() -> None:
    shop = Shop(engine := FakeEngine(numbered))
    job = book()

    outcome = shop.serve(job)

    assert outcome is not None
    assert outcome.state is State.SUCCEEDED
    first, second = shop.pieces(job)
    assert first.finish == second.finish == "stop"
    assert first.text.endswith(".")
    assert len(first.ids) >= 64
    assert outcome.completion_tokens == len(first.ids) + len(second.ids)
    asked = [sequence.request for sequence in engine.sequences]
    assert [request.sampling.max_tokens for request in asked] == [32, 48, 48]
    assert [request.sampling.min_tokens for request in asked] == [32, 48, 48]  # no model ends a part
    assert [request.sampling.temperature for request in asked] == [0.5, 0.5, 1.0]
    charged = sum(report.turn for commit in shop.postgres.commits for report in commit) + outcome.work
    assert charged == sum(len(request.prompt) + request.sampling.max_tokens for request in asked)


def test_a_book_taken_up_in_the_middle_of_a_window_becomes_the_same() -> None:
    shop = Shop(FakeEngine(numbered))
    job = book()
    shop.serve(job)
    whole = shop.pieces(job)

    for stop in (1, 31, 32, 50, 63, 64):
        ids = whole[0].ids[:stop]
        again = Shop(engine := FakeEngine(numbered))
        resumed = book(log=[Piece(0, ids, bytes(ids).decode())])
        assert again.serve(resumed) is not None
        assert again.pieces(resumed) == whole
        assert engine.sequences[0].request.generated == ids[stop // 32 * 32 if stop < 64 else 32 :]


def test_a_book_whose_engine_fails_keeps_what_is_written() -> None:
    class Broken(QuireError):
        """The engine broke."""

    def breaks(request: Request) -> str | Exception:
        return numbered(request) if request.sampling.max_tokens == 32 else Broken()

    shop = Shop(FakeEngine(breaks))
    job = book()

    outcome = shop.serve(job)

    assert outcome is not None
    assert (outcome.state, outcome.completion_tokens) == (State.FAILED, 32)


def test_of_several_draws_of_a_window_the_best_is_written() -> None:
    def answer(request: Request) -> str:
        bad = request.sampling.sample != 1
        return ("no " * 40 if bad else numbered(request))[: request.sampling.max_tokens]

    shop = Shop(engine := FakeEngine(answer))
    job = book(Guard(no_repeat=0, draws=3))

    assert shop.serve(job) is not None
    assert shop.claimer.occupied == [2, -2] * 3
    assert "no no" not in "".join(piece.text for piece in shop.pieces(job))
    assert [sequence.request.sampling.sample for sequence in engine.sequences] == [0, 1, 2] * 3
    assert len({sequence.request.prompt for sequence in engine.sequences[:3]}) == 1


def test_a_window_that_closes_a_loop_is_drawn_with_the_next_retry() -> None:
    def answer(request: Request) -> str:
        loops = request.sampling.retry < 2
        return ("round and round " * 9 if loops else numbered(request))[: request.sampling.max_tokens]

    shop = Shop(engine := FakeEngine(answer))
    job = book(Guard(no_repeat=0, retries=3))

    assert shop.serve(job) is not None
    # 32 tokens hold no span of 20 three times; the windows behind close the loop.
    assert [sequence.request.sampling.retry for sequence in engine.sequences][:4] == [0, 0, 1, 2]


def test_when_every_retry_loops_the_last_is_kept() -> None:
    shop = Shop(engine := FakeEngine(lambda request: ("round " * 20)[: request.sampling.max_tokens]))

    assert shop.serve(book(Guard(no_repeat=0, retries=1))) is not None
    assert {sequence.request.sampling.retry for sequence in engine.sequences} == {0, 1}


def test_the_end_of_a_part_is_written_with_the_window_that_was_chosen_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shop = Shop(FakeEngine(numbered))
    job = book(Guard(no_repeat=0, draws=2))
    log, batches = shop.writer.open(job), []
    monkeypatch.setattr(log, "add", lambda *entries: batches.append([entry.finish for entry in entries]))

    shop.runner.serve(job)

    assert batches == [[None], [None, "stop"], [None, "stop"]]


def test_what_is_written_of_a_window_counts_when_a_loop_is_looked_for() -> None:
    span = "abcdefghijklmnopqrst"

    def answer(request: Request) -> str:
        last = "X" if request.sampling.retry else span[-1]
        return (span[:-1] + last + " The night was long. The sea was")[: request.sampling.max_tokens]

    # Twice in the book, and all but its last token once more.
    written = f"{span}0123456789AB{span}CDEFGHIJKLMN{span[:-1]}"
    shop = Shop(engine := FakeEngine(answer))
    job = book(
        Guard(no_repeat=0, retries=1),
        parts=(PlannedPart(heading="Chapter 1", tokens=96),),
        log=[Piece(0, tuple(written.encode()), written)],
    )

    shop.serve(job)

    assert [sequence.request.sampling.retry for sequence in engine.sequences] == [0, 1]
    assert shop.pieces(job)[0].text == written + "X The night was long."


@pytest.mark.parametrize("guard", [Guard(no_repeat=0), Guard(no_repeat=0, draws=2)])
def test_a_book_with_no_token_to_go_on_with_fails_and_keeps_what_is_written(guard: Guard) -> None:
    shop = Shop(FakeEngine(lambda request: numbered(request)[:20]))
    job = book(guard)

    outcome = shop.serve(job)

    assert outcome is not None
    assert (outcome.state, outcome.completion_tokens) == (State.FAILED, 20)
    assert outcome.error is not None
    assert outcome.error["code"] == "book_failed"


# ---- giving way --------------------------------------------------------------------------------------------


def test_a_book_is_asked_to_give_way_only_when_it_has_committed_something_since_its_claim() -> None:
    shop = Shop(engine := FakeEngine(numbered, waits=True))
    written = tuple(b"Seed")
    job = book(log=[Piece(0, written, "Seed")])
    serving = shop.begin(job)
    until(lambda: engine.sequences)
    shop.flushed(job)
    assert shop.runner.books() == {}

    engine.write(engine.sequences[0], " on")
    assert shop.runner.books() == {}
    shop.flushed(job)

    assert shop.runner.books() == {job.run: job.tenant_id}
    shop.runner.give_way(job.run)
    shop.end(serving)
    assert shop.runner.books() == {}


def test_a_book_that_draws_candidates_is_not_asked_before_it_has_written_a_window() -> None:
    shop = Shop(engine := FakeEngine(numbered, waits=True))
    job = book(Guard(no_repeat=0, draws=2))
    serving = shop.begin(job)
    until(lambda: len(engine.sequences) == 2)
    engine.write(engine.sequences[0], "Seed")
    shop.flushed(job)
    assert shop.runner.books() == {}

    for sequence in engine.sequences[:2]:
        engine.finish(sequence)
    until(lambda: len(engine.sequences) == 4)
    shop.flushed(job)

    assert shop.runner.books() == {job.run: job.tenant_id}
    shop.runner.drain()
    shop.end(serving)
