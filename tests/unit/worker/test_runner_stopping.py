"""What becomes of a run that is stopped: by a drain, by its engine, or because its job was lost."""

from collections.abc import Callable
from dataclasses import replace

from quire.jobs import Claimed, Outcome
from quire.store.job import State
from tests.unit.worker.fakes import FakeEngine, claimed
from tests.unit.worker.places import Shop
from tests.waiting import until
from worker.engine import EngineStopped


def in_the_middle(shop: Shop, job: Claimed, stop: Callable[[], object], *, sequence: int = 0) -> None:
    """Let a job write three letters, and then something happen."""
    serving = shop.begin(job)
    until(lambda: len(shop.engine.sequences) > sequence)
    shop.engine.write(shop.engine.sequences[sequence], "Hel")
    stop()
    serving.result(timeout=20)


def test_a_drained_job_goes_back_to_the_queue_with_what_it_has_written() -> None:
    shop, job = Shop(FakeEngine(waits=True)), claimed("Once")

    in_the_middle(shop, job, shop.runner.drain)

    assert shop.flushed(job) == Outcome(State.QUEUED, work=4 + 3)
    assert [piece.text for piece in shop.pieces(job)] == ["Hel"]


def test_a_job_claimed_while_draining_goes_back_untouched() -> None:
    shop, job = Shop(FakeEngine()), claimed()
    shop.runner.drain()

    outcome = shop.serve(job)

    assert outcome == Outcome(State.QUEUED, work=0)
    assert shop.engine.sequences == []


def test_a_job_whose_engine_was_stopped_goes_back_to_the_queue() -> None:
    shop, job = Shop(FakeEngine(lambda _: EngineStopped())), claimed()

    assert shop.serve(job).state == State.QUEUED


def test_a_lost_job_is_cancelled_in_the_engine() -> None:
    shop, job = Shop(FakeEngine(waits=True)), claimed()
    shop.postgres.lost.add(job.run)

    in_the_middle(shop, job, lambda: shop.writer.flush(everything=True))

    assert shop.engine.cancelled == [0]
    assert shop.writer.runs() == set()


def test_losing_a_job_that_is_not_here_is_harmless() -> None:
    shop = Shop(FakeEngine())

    shop.runner.lose(claimed().run)

    assert shop.engine.cancelled == []


def test_an_old_run_that_is_lost_leaves_the_new_run_of_its_job_alone() -> None:
    # The worker lost its lease and claimed the same job again, before it noticed.
    shop = Shop(FakeEngine(waits=True))
    old = claimed()
    new = replace(old, fence=3)
    shop.postgres.lost.add(old.run)

    runs = [shop.begin(old)]
    until(lambda: len(shop.engine.sequences) == 1)
    runs += [shop.begin(new)]
    until(lambda: len(shop.engine.sequences) == 2)
    shop.writer.flush(everything=True)
    runs[0].result(timeout=20)
    shop.engine.finish(shop.engine.sequences[1])
    runs[1].result(timeout=20)

    assert shop.flushed(new).state == State.SUCCEEDED
    assert [piece.text for piece in shop.pieces(new)] == ["Hello"]
