"""A job on its last attempt has the engine to itself."""

import pytest

from quire.jobs import Outcome
from quire.store.job import State
from tests.unit.worker.fakes import FakeEngine, claimed
from tests.unit.worker.places import Shop
from tests.waiting import until

LAST = 2  # attempts that were counted, of three


@pytest.mark.parametrize(("attempts", "alone"), [(0, False), (1, False), (2, True), (3, True)])
def test_only_a_job_on_its_last_attempt_is_marked(attempts: int, alone: bool) -> None:
    shop, job = Shop(FakeEngine()), claimed(attempts=attempts)

    outcome = shop.serve(job)

    assert shop.marked == ([job] if alone else [])
    assert outcome.state == State.SUCCEEDED


def test_a_job_that_cannot_be_marked_is_not_run() -> None:
    # Somebody else's by now, or Postgres is away: run unmarked, its crash would not count.
    shop, job = Shop(FakeEngine(), mark_alone=lambda _: False), claimed(attempts=LAST)

    outcome = shop.serve(job)

    assert outcome == Outcome(State.QUEUED, work=0)
    assert shop.engine.sequences == []


def test_it_waits_for_the_others_to_end() -> None:
    shop = Shop(FakeEngine(waits=True))
    other, last = claimed(), claimed(attempts=LAST)

    first = shop.begin(other)
    until(lambda: len(shop.engine.sequences) == 1)
    second = shop.begin(last)
    until(lambda: shop.runner._gate._waiting_alone)
    assert len(shop.engine.sequences) == 1
    shop.engine.finish(shop.engine.sequences[0])
    first.result(timeout=20)
    until(lambda: len(shop.engine.sequences) == 2)
    shop.engine.finish(shop.engine.sequences[1])
    shop.end(second)

    assert shop.flushed(last).state == State.SUCCEEDED


def test_others_wait_until_its_outcome_is_stored() -> None:
    shop = Shop(FakeEngine(waits=True))
    last, other = claimed("alone", attempts=LAST), claimed("other")

    first = shop.begin(last)
    until(lambda: len(shop.engine.sequences) == 1)
    second = shop.begin(other)
    until(lambda: len(shop.runner._running) == 2)
    assert len(shop.engine.sequences) == 1
    shop.engine.finish(shop.engine.sequences[0])
    until(lambda: shop.writer.open(last).outcome)
    assert len(shop.engine.sequences) == 1
    shop.end(first)
    until(lambda: len(shop.engine.sequences) == 2)
    shop.engine.finish(shop.engine.sequences[1])
    second.result(timeout=20)

    assert shop.flushed(other).state == State.SUCCEEDED


def test_a_worker_that_drains_does_not_wait_for_an_outcome_to_be_stored() -> None:
    shop, last = Shop(FakeEngine(waits=True)), claimed(attempts=LAST)
    served = shop.begin(last)
    until(lambda: len(shop.engine.sequences) == 1)

    shop.runner.drain()

    served.result(timeout=20)
    assert shop.flushed(last).state == State.QUEUED


def test_a_job_that_was_cancelled_while_it_waited_is_not_run() -> None:
    shop = Shop(FakeEngine(waits=True))
    last, waiting = claimed(attempts=LAST), claimed()
    shop.postgres.lost.add(waiting.run)

    first = shop.begin(last)
    until(lambda: len(shop.engine.sequences) == 1)
    second = shop.begin(waiting)
    until(lambda: len(shop.runner._running) == 2)
    shop.writer.flush(everything=True)  # which tells that it was lost
    shop.engine.finish(shop.engine.sequences[0])
    shop.end(first)
    second.result(timeout=20)

    assert len(shop.engine.sequences) == 1


def test_a_job_that_waits_to_be_alone_goes_back_when_the_worker_drains() -> None:
    shop = Shop(FakeEngine(waits=True))
    other, last = claimed(), claimed(attempts=LAST)

    first = shop.begin(other)
    until(lambda: len(shop.engine.sequences) == 1)
    second = shop.begin(last)
    until(lambda: shop.runner._gate._waiting_alone)
    shop.runner.drain()
    first.result(timeout=20)
    second.result(timeout=20)

    assert shop.flushed(last) == Outcome(State.QUEUED, work=0)
    assert shop.marked == []
