"""The writer, one flush at a time."""

import pytest
from sqlalchemy.exc import InterfaceError, InternalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from quire.jobs import Claimed, Outcome
from quire.pieces import Entry
from quire.store.job import Run, State
from quire.testing import RING
from tests.unit.worker.fakes import AWAY, FakePostgres, byte_ids, claimed
from tests.waiting import until
from worker.writer import JobLog, Writer

DONE = Outcome(State.SUCCEEDED, work=9)


class Bench:
    """A writer, with everything it speaks to."""

    def __init__(self, flush_seconds: float = 3600) -> None:
        self.postgres = FakePostgres()
        self.notices: list = []
        self.lost: list[Run] = []
        self.writer = Writer(
            self.postgres.commit,
            flush_seconds=flush_seconds,
            notify=self.notices.extend,
            on_lost=self.lost.append,
        )

    def open(self, job: Claimed) -> JobLog:
        log = self.writer.open(job)
        log.key = RING.unwrap(job.wrapped_key, job.tenant_id)
        return log

    def flush(self) -> None:
        self.writer.flush(everything=True)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def add(log: JobLog, text: str) -> None:
    log.add(Entry(0, byte_ids(text), text))


# ---- batching ----------------------------------------------------------------------------------------------


def test_all_running_jobs_are_written_in_one_commit(bench: Bench):
    jobs = [claimed() for _ in range(3)]
    for number, job in enumerate(jobs):
        add(bench.open(job), f"text {number}")

    bench.flush()

    assert len(bench.postgres.commits) == 1
    assert [bench.postgres.text(job) for job in jobs] == ["text 0", "text 1", "text 2"]


def test_what_came_between_two_flushes_is_one_row(bench: Bench):
    job = claimed()
    log = bench.open(job)
    for letter in "Once":
        add(log, letter)

    bench.flush()

    assert len(bench.postgres.log(job)) == 1


def test_each_flush_continues_where_the_last_one_ended(bench: Bench):
    job = claimed()
    log = bench.open(job)
    for text in ("Once ", "upon", " a time"):
        add(log, text)
        bench.flush()

    assert [chunk.offset for chunk in bench.postgres.log(job)] == [0, 5, 9]
    assert bench.postgres.text(job) == "Once upon a time"


def test_nothing_is_committed_twice(bench: Bench):
    job = claimed()
    add(bench.open(job), "Once")
    bench.flush()

    bench.flush()

    assert [len(report.rows) for reports in bench.postgres.commits for report in reports] == [1, 0]


def test_jobs_without_news_are_asked_about(bench: Bench):
    bench.open(claimed())

    bench.flush()

    assert len(bench.postgres.commits[0]) == 1


def test_a_writer_with_nothing_to_say_does_not_speak(bench: Bench):
    bench.flush()

    assert bench.postgres.commits == []


def test_only_jobs_with_news_are_told_of(bench: Bench):
    silent, talking = claimed(), claimed()
    bench.open(silent)
    add(bench.open(talking), "Once")

    bench.flush()

    assert bench.notices == [talking.id]


# ---- outcomes ----------------------------------------------------------------------------------------------


def test_an_outcome_goes_with_the_text_before_it(bench: Bench):
    job = claimed()
    log = bench.open(job)
    add(log, "Once")

    bench.writer.finish(log, DONE)
    bench.writer.flush(everything=False)

    (report,) = bench.postgres.commits[0]
    assert (len(report.rows), report.outcome) == (1, DONE)


def test_a_job_that_has_ended_does_not_wait_for_the_others(bench: Bench):
    ended, running = claimed(), claimed()
    add(bench.open(running), "Once")

    bench.writer.finish(bench.open(ended), DONE)
    bench.writer.flush(everything=False)

    assert [report.job_id for report in bench.postgres.commits[0]] == [ended.id]


def test_a_job_that_has_ended_is_forgotten(bench: Bench):
    job = claimed()
    bench.writer.finish(bench.open(job), DONE)

    bench.flush()

    assert bench.writer.runs() == set()


def test_a_running_job_is_remembered(bench: Bench):
    job = claimed()
    bench.open(job)

    bench.flush()

    assert bench.writer.runs() == {job.run}


def test_a_run_that_is_opened_twice_is_written_by_one_log(bench: Bench):
    job = claimed()

    assert bench.writer.open(job) is bench.writer.open(job)


# ---- lost jobs ---------------------------------------------------------------------------------------------


def test_a_lost_job_is_dropped_and_told_of(bench: Bench):
    job = claimed()
    add(bench.open(job), "Once")
    bench.postgres.lost.add(job.run)

    bench.flush()

    assert bench.lost == [job.run]
    assert bench.writer.runs() == set()


def test_a_lost_job_does_not_take_others_along(bench: Bench):
    lost, kept = claimed(), claimed()
    add(bench.open(lost), "Once")
    add(bench.open(kept), "upon")
    bench.postgres.lost.add(lost.run)

    bench.flush()

    assert bench.postgres.text(kept) == "upon"


def test_an_old_run_does_not_take_the_new_run_of_its_job_along(bench: Bench):
    # The worker lost its lease and claimed the same job again, before it noticed.
    old = claimed(fence=1)
    new = claimed(id=old.id, fence=3)
    add(bench.open(old), "late")
    add(bench.open(new), "Right")
    bench.postgres.lost.add(old.run)

    bench.flush()

    assert bench.lost == [old.run]
    assert bench.writer.runs() == {new.run}
    assert bench.postgres.text(new) == "Right"


# ---- trouble -----------------------------------------------------------------------------------------------

TROUBLE = [
    AWAY,
    InternalError("statement", {}, Exception("cannot execute UPDATE in a read-only transaction")),
    InterfaceError("statement", {}, Exception("connection is closed")),
    PoolTimeout("no connection"),
]


@pytest.mark.parametrize("error", TROUBLE, ids=lambda error: type(error).__name__)
def test_what_could_not_be_written_is_kept(bench: Bench, error: Exception):
    job = claimed()
    add(bench.open(job), "Once")
    bench.postgres.before = [error]

    with pytest.raises(type(error)):
        bench.flush()
    bench.flush()

    assert bench.postgres.text(job) == "Once"


def test_while_postgres_is_away_text_gathers_in_order(bench: Bench):
    job = claimed()
    log = bench.open(job)
    bench.postgres.before = [AWAY] * 3
    for text in ("a", "b", "c"):
        add(log, text)
        with pytest.raises(type(AWAY)):
            bench.flush()
    add(log, "d")

    bench.flush()
    bench.flush()

    assert bench.postgres.text(job) == "abcd"


def test_a_commit_whose_answer_was_lost_is_not_written_twice(bench: Bench):
    job = claimed()
    log = bench.open(job)
    add(log, "Once ")
    bench.postgres.after = [AWAY]
    with pytest.raises(type(AWAY)):
        bench.flush()
    add(log, "upon")

    bench.flush()
    bench.flush()

    assert bench.postgres.text(job) == "Once upon"


def test_an_outcome_waits_for_the_text_that_came_after_a_lost_answer(bench: Bench):
    job = claimed()
    log = bench.open(job)
    add(log, "Once ")
    bench.postgres.after = [AWAY]
    with pytest.raises(type(AWAY)):
        bench.flush()
    add(log, "upon")
    bench.writer.finish(log, DONE)

    bench.writer.flush(everything=False)
    assert bench.postgres.outcomes == {}
    bench.writer.flush(everything=False)

    assert bench.postgres.outcomes == {job.run: DONE}
    assert bench.postgres.text(job) == "Once upon"


def test_an_outcome_that_could_not_be_written_is_kept(bench: Bench):
    job = claimed()
    bench.writer.finish(bench.open(job), DONE)
    bench.postgres.before = [AWAY]
    with pytest.raises(type(AWAY)):
        bench.writer.flush(everything=False)

    bench.writer.flush(everything=False)

    assert bench.postgres.outcomes == {job.run: DONE}


def test_a_report_that_postgres_refuses_fails_alone(bench: Bench):
    bad, good = claimed(), claimed()
    add(bench.open(bad), "Once")
    add(bench.open(good), "upon")
    bench.postgres.refuses.add(bad.id)

    bench.flush()

    assert bench.postgres.text(good) == "upon"
    assert bench.writer.runs() == {good.run}


def test_a_job_whose_text_is_refused_ends_as_failed(bench: Bench):
    # It would otherwise run for ever on a worker that has forgotten it.
    bad = claimed("Once")
    log = bench.open(bad)
    add(log, "good")
    bench.flush()
    add(log, "bad")
    bench.postgres.refuses.add(bad.id)

    bench.flush()

    outcome = bench.postgres.outcomes[bad.run]
    assert (outcome.state, outcome.completion_tokens, outcome.work) == (State.FAILED, 4, 4 + 7)
    assert outcome.error["code"] == "internal_error"
    assert bench.lost == [bad.run]


# ---- the thread --------------------------------------------------------------------------------------------


def test_an_outcome_is_written_without_waiting_for_the_next_flush(bench: Bench):
    job = claimed()
    bench.writer.start()

    bench.writer.finish(bench.open(job), DONE)

    until(lambda: bench.postgres.outcomes == {job.run: DONE})
    bench.writer.close(timeout=10)


def test_running_text_is_written_every_so_often():
    bench = Bench(flush_seconds=0.01)
    job = claimed()
    log = bench.open(job)
    bench.writer.start()

    add(log, "Once")

    until(lambda: bench.postgres.rows)
    bench.writer.finish(log, DONE)
    bench.writer.close(timeout=10)


def test_closing_waits_for_the_outcomes_of_runs_that_are_being_stopped(bench: Bench):
    job = claimed()
    log = bench.open(job)
    add(log, "Once")
    bench.writer.start()
    bench.writer.close(timeout=0)  # told to, but not waited for

    put_back = Outcome(State.QUEUED, 8)
    bench.writer.finish(log, put_back)
    bench.writer._thread.join(timeout=10)

    assert bench.postgres.outcomes == {job.run: put_back}
    assert bench.postgres.text(job) == "Once"
    assert not bench.writer._thread.is_alive()


def test_closing_does_not_wait_for_ever(bench: Bench):
    bench.open(claimed())
    bench.writer.start()

    bench.writer.close(timeout=0.05)

    assert bench.writer._thread.is_alive()
    bench.postgres.lost |= bench.writer.runs()
    bench.writer.flush(everything=True)
    with bench.writer._changed:
        bench.writer._changed.notify()
    bench.writer._thread.join(timeout=10)


def test_the_thread_survives_an_outage(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("worker.writer.RETRY_SECONDS", 0.001)
    job = claimed()
    bench.postgres.before = [AWAY, AWAY]
    bench.writer.start()

    bench.writer.finish(bench.open(job), DONE)

    until(lambda: bench.postgres.outcomes == {job.run: DONE})
    bench.writer.close(timeout=10)
