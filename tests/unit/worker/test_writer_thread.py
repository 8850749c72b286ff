"""The writer's thread: when it flushes, and when it ends."""

import pytest

from quire.jobs import Outcome
from quire.store.job import State
from tests.unit.worker.fakes import AWAY, claimed
from tests.unit.worker.places import Desk, add
from tests.waiting import until

DONE = Outcome(State.SUCCEEDED, work=9)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_an_outcome_is_written_without_waiting_for_the_next_flush(desk: Desk) -> None:
    job = claimed()
    desk.writer.start()

    desk.writer.finish(desk.open(job), DONE)

    until(lambda: desk.postgres.outcomes == {job.run: DONE})
    desk.writer.close(timeout=10)


def test_running_text_is_written_every_so_often() -> None:
    desk = Desk(flush_seconds=0.01)
    job = claimed()
    log = desk.open(job)
    desk.writer.start()

    add(log, "Once")

    until(lambda: desk.postgres.rows)
    desk.writer.finish(log, DONE)
    desk.writer.close(timeout=10)


def test_closing_waits_for_the_outcomes_of_runs_that_are_being_stopped(desk: Desk) -> None:
    job = claimed()
    log = desk.open(job)
    add(log, "Once")
    desk.writer.start()
    desk.writer.close(timeout=0)  # told to, but not waited for

    put_back = Outcome(State.QUEUED, 8)
    desk.writer.finish(log, put_back)
    desk.writer._thread.join(timeout=10)

    assert desk.postgres.outcomes == {job.run: put_back}
    assert desk.postgres.text(job) == "Once"
    assert not desk.writer._thread.is_alive()


def test_closing_does_not_wait_for_ever(desk: Desk) -> None:
    log = desk.open(claimed())
    desk.writer.start()

    desk.writer.close(timeout=0.05)

    assert desk.writer._thread.is_alive()
    desk.writer.finish(log, DONE)
    desk.writer._thread.join(timeout=10)


def test_the_thread_survives_an_outage(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.writer.RETRY_SECONDS", 0.001)
    job = claimed()
    desk.postgres.before = [AWAY, AWAY]
    desk.writer.start()

    desk.writer.finish(desk.open(job), DONE)

    until(lambda: desk.postgres.outcomes == {job.run: DONE})
    desk.writer.close(timeout=10)


def test_the_text_of_a_job_that_is_read_does_not_wait_for_the_next_flush(desk: Desk) -> None:
    job = claimed()
    log = desk.open(job)
    desk.writer.start()
    desk.writer.attend(job.id)

    add(log, "Once")

    until(lambda: desk.postgres.text(job) == "Once")
    desk.writer.finish(log, DONE)
    desk.writer.close(timeout=10)
