"""The runner: claimed jobs through a fake engine, to what is committed."""

import time
from dataclasses import replace

import pytest

from quire.crypto import KeyRing, WrappedKey, new_master_key
from quire.errors import FormUnfit
from quire.jobs import Outcome
from quire.pieces import Piece
from quire.rules import Rules
from quire.spec import Parameters
from quire.store.job import State
from tests.unit.worker.fakes import FakeEngine, byte_ids, claimed
from tests.unit.worker.places import Anything, Shop
from tests.waiting import until
from worker.engine import EngineDead, EngineExpired, MakeConstraint, Request


def number(request: Request) -> int:
    return request.sampling.sample


# ---- asking the engine -------------------------------------------------------------------------------------


def test_equal_beginnings_are_shared_within_a_tenant_only() -> None:
    shop, job = Shop(FakeEngine()), claimed()

    shop.serve(job)

    assert shop.engine.sequences[0].request.scope == str(job.tenant_id)


def test_a_deadline_is_handed_on_to_the_engine() -> None:
    shop = Shop(FakeEngine())
    before = time.monotonic()

    shop.serve(claimed(seconds_left=60.0))
    shop.serve(claimed())

    with_deadline, without = (sequence.request.deadline for sequence in shop.engine.sequences)
    assert with_deadline is not None
    assert before + 60 <= with_deadline <= time.monotonic() + 60
    assert without is None


def test_a_job_whose_deadline_passes_in_the_engine_expires_with_what_it_wrote() -> None:
    shop, job = Shop(FakeEngine(waits=True)), claimed(seconds_left=0.0)
    serving = shop.begin(job)
    until(lambda: len(shop.engine.sequences) == 1)
    (sequence,) = shop.engine.sequences
    shop.engine.write(sequence, "Hel")

    sequence.future.set_exception(EngineExpired())
    serving.result()

    assert shop.flushed(job) == Outcome(State.EXPIRED, work=4 + 3, completion_tokens=3)
    assert [piece.text for piece in shop.pieces(job)] == ["Hel"]


# ---- succeeding --------------------------------------------------------------------------------------------


def test_a_job_succeeds_with_its_text() -> None:
    shop, job = Shop(FakeEngine(lambda _: "Hello")), claimed("Once")

    outcome = shop.serve(job)

    assert outcome == Outcome(State.SUCCEEDED, work=4 + 5, completion_tokens=5)
    assert shop.pieces(job) == [Piece(0, byte_ids("Hello"), "Hello", "stop")]


def test_the_engine_is_given_the_prompt_of_the_job() -> None:
    shop = Shop(FakeEngine())

    shop.serve(claimed("Twice"))

    assert shop.engine.sequences[0].request.prompt == byte_ids("Twice")


def test_a_job_of_several_pieces_delivers_each() -> None:
    shop = Shop(FakeEngine(lambda request: f"text {number(request)}"))
    job = claimed(parameters=Parameters(n=3))

    outcome = shop.serve(job)

    assert [piece.text for piece in shop.pieces(job)] == ["text 0", "text 1", "text 2"]
    assert outcome.completion_tokens == 18


def test_of_several_draws_the_best_are_delivered_in_order() -> None:
    scores = {0: -3.0, 1: -1.0, 2: -2.0}
    engine = FakeEngine(lambda request: f"draw {number(request)}", score=lambda request: scores[number(request)])
    shop, job = Shop(engine), claimed(parameters=Parameters(n=2, best_of=3))

    outcome = shop.serve(job)

    assert [(piece.index, piece.text, piece.finish) for piece in shop.pieces(job)] == [
        (0, "draw 1", "stop"),
        (1, "draw 2", "stop"),
    ]
    assert (outcome.completion_tokens, outcome.work) == (12, 3 * (4 + 6))


def test_nothing_of_a_draw_is_written_before_the_best_is_known() -> None:
    shop, job = Shop(FakeEngine(waits=True)), claimed(parameters=Parameters(best_of=2))

    serving = shop.begin(job)
    until(lambda: len(shop.engine.sequences) == 2)
    shop.engine.write(shop.engine.sequences[0], "Hel")
    shop.flushed(job)
    assert shop.pieces(job) == []
    shop.runner.drain()
    serving.result(timeout=20)


def test_the_slot_is_given_back_after_each_job() -> None:
    shop = Shop(FakeEngine())
    shop.claimer.jobs = [claimed(), claimed()]

    shop.runner.serve(claimed())

    assert shop.claimer.released == 3


def test_each_draw_of_a_job_takes_a_slot_and_gives_it_back() -> None:
    shop = Shop(FakeEngine())

    shop.serve(claimed(parameters=Parameters(n=2, best_of=5)))

    assert shop.claimer.occupied == [4, -4]


def test_a_slot_without_a_first_job_asks_for_one() -> None:
    shop, job = Shop(FakeEngine()), claimed()
    shop.claimer.jobs = [job]

    shop.runner.serve()

    assert shop.flushed(job).state == State.SUCCEEDED


def test_the_draws_of_a_form_are_held_to_its_rules() -> None:
    shop = Shop(FakeEngine())
    rules = Rules(language="zh", lines=4, characters=5)

    shop.serve(claimed(rules=rules, parameters=Parameters(n=2, max_tokens=76)))
    shop.serve(claimed())

    assert [sequence.request.constraint for sequence in shop.engine.sequences] == [Anything, Anything, None]
    assert shop.asked == [(rules, 76)]


def test_a_model_that_cannot_write_the_form_fails_the_job_in_our_words() -> None:
    shop = Shop(FakeEngine())
    shop.runner._constrain = unfit

    outcome = shop.serve(claimed(rules=Rules(language="zh", lines=4, characters=5)))

    assert outcome is not None
    assert outcome.error == {"code": "form_unfit", "message": "The model cannot write this form: it has no verse."}


def unfit(rules: Rules, max_tokens: int) -> MakeConstraint:
    raise FormUnfit.because("it has no verse")


# ---- resuming ----------------------------------------------------------------------------------------------


def test_a_resumed_job_goes_on_where_its_log_ends() -> None:
    shop = Shop(FakeEngine(lambda _: "Hello World"))
    job = claimed(log=[Piece(0, byte_ids("Hello"), "Hello")])

    outcome = shop.serve(job)

    request = shop.engine.sequences[0].request
    assert (request.generated, request.published) == (byte_ids("Hello"), 5)
    assert [piece.text for piece in shop.pieces(job)] == ["Hello World"]
    assert outcome.completion_tokens == 11


def test_pieces_that_were_finished_are_not_run_again() -> None:
    shop = Shop(FakeEngine(lambda _: "new"))
    job = claimed(parameters=Parameters(n=2), log=[Piece(0, byte_ids("old"), "old", "stop")])

    shop.serve(job)

    assert [number(sequence.request) for sequence in shop.engine.sequences] == [1]
    assert [piece.text for piece in shop.pieces(job)] == ["old", "new"]


def test_a_job_that_was_all_written_before_the_crash_succeeds_without_the_engine() -> None:
    shop, job = Shop(FakeEngine()), claimed(log=[Piece(0, byte_ids("Hello"), "Hello", "stop")])

    outcome = shop.serve(job)

    assert outcome == Outcome(State.SUCCEEDED, work=0, completion_tokens=5)
    assert shop.engine.sequences == []


@pytest.mark.parametrize("before", ["", "Hello"])
def test_an_outcome_tells_whether_the_text_was_cut_off_also_before_a_crash(before: str) -> None:
    log = [Piece(0, byte_ids(before), before, "length")] if before else []
    shop = Shop(FakeEngine(reason="length"))

    assert shop.serve(claimed(log=log)).cut


def test_the_best_that_was_chosen_before_the_crash_stays() -> None:
    # Its pieces carry their ranks, not their draws: running the other draws would write into them.
    shop = Shop(FakeEngine(lambda _: "another"))
    job = claimed(parameters=Parameters(best_of=3), log=[Piece(0, byte_ids("chosen"), "chosen", "stop")])

    outcome = shop.serve(job)

    assert [piece.text for piece in shop.pieces(job)] == ["chosen"]
    assert (outcome.state, outcome.completion_tokens) == (State.SUCCEEDED, 6)


def test_the_best_are_written_together_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    shop, job = Shop(FakeEngine()), claimed(parameters=Parameters(n=2, best_of=3))
    log, batches = shop.writer.open(job), []
    monkeypatch.setattr(log, "add", lambda *entries: batches.append(entries))

    shop.runner.serve(job)

    assert [[entry.piece for entry in batch] for batch in batches] == [[0, 1]]


# ---- failing -----------------------------------------------------------------------------------------------


def test_a_job_on_which_the_engine_fails_says_so_in_our_words() -> None:
    shop, job = Shop(FakeEngine(lambda _: RuntimeError("secret detail"))), claimed()

    outcome = shop.serve(job)

    assert (outcome.state, outcome.error["code"]) == (State.FAILED, "engine_error")
    assert "secret detail" not in outcome.error["message"]


def test_a_failed_job_keeps_and_is_billed_what_it_has_written() -> None:
    shop, job = Shop(FakeEngine(lambda _: RuntimeError(), waits=True)), claimed("Once")

    serving = shop.begin(job)
    until(lambda: shop.engine.sequences)
    shop.engine.write(shop.engine.sequences[0], "Hel")
    shop.engine.finish(shop.engine.sequences[0])
    serving.result(timeout=20)

    assert replace(shop.flushed(job), error=None) == Outcome(State.FAILED, work=4 + 3, completion_tokens=3)
    assert [piece.text for piece in shop.pieces(job)] == ["Hel"]


def test_a_failed_job_does_not_end_the_slot() -> None:
    shop, next_one = Shop(FakeEngine(lambda _: RuntimeError())), claimed()
    shop.claimer.jobs = [next_one]

    shop.runner.serve(claimed())

    assert shop.flushed(next_one).state == State.FAILED
    assert shop.claimer.released == 2


def test_a_job_whose_body_was_changed_fails() -> None:
    shop, job = Shop(FakeEngine()), claimed()

    outcome = shop.serve(replace(job, body=b"x" * 60))

    assert (outcome.state, outcome.error["code"]) == (State.FAILED, "undecryptable")


def test_a_job_whose_master_key_is_missing_fails() -> None:
    shop, job = Shop(FakeEngine()), claimed()
    other = KeyRing.parse(new_master_key("other")).new_data_key(job.tenant_id)

    outcome = shop.serve(replace(job, wrapped_key=WrappedKey("other", other.sealed)))

    assert (outcome.state, outcome.error["code"]) == (State.FAILED, "undecryptable")


def test_when_the_engine_is_dead_the_worker_ends_and_its_jobs_are_left_to_the_reaper() -> None:
    shop, job = Shop(FakeEngine(lambda _: EngineDead())), claimed()

    outcome = shop.serve(job)

    assert (shop.died, outcome) == (1, None)
    assert shop.writer.runs() == {job.run}
