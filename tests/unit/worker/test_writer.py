"""The writer, one flush at a time."""

import pytest

from quire.jobs import Outcome
from quire.pieces import Entry, Piece, fold
from quire.store.job import State
from quire.textlog import read
from tests.unit.worker.fakes import byte_ids, claimed
from tests.unit.worker.places import Desk, add

DONE = Outcome(State.SUCCEEDED, work=9)


@pytest.fixture
def desk() -> Desk:
    return Desk()


# ---- batching ----------------------------------------------------------------------------------------------


def test_all_running_jobs_are_written_in_one_commit(desk: Desk) -> None:
    jobs = [claimed() for _ in range(3)]
    for number, job in enumerate(jobs):
        add(desk.open(job), f"text {number}")

    desk.flush()

    assert len(desk.postgres.commits) == 1
    assert [desk.postgres.text(job) for job in jobs] == ["text 0", "text 1", "text 2"]


def test_what_came_between_two_flushes_is_one_row(desk: Desk) -> None:
    job = claimed()
    log = desk.open(job)
    for letter in "Once":
        add(log, letter)

    desk.flush()

    assert len(desk.postgres.log(job)) == 1


def test_each_flush_continues_where_the_last_one_ended(desk: Desk) -> None:
    job = claimed()
    log = desk.open(job)
    for text in ("Once ", "upon", " a time"):
        add(log, text)
        desk.flush()

    assert [chunk.offset for chunk in desk.postgres.log(job)] == [0, 5, 9]
    assert desk.postgres.text(job) == "Once upon a time"


def test_nothing_is_committed_twice(desk: Desk) -> None:
    job = claimed()
    add(desk.open(job), "Once")
    desk.flush()

    desk.flush()

    assert [len(report.rows) for reports in desk.postgres.commits for report in reports] == [1, 0]


def test_jobs_without_news_are_asked_about(desk: Desk) -> None:
    desk.open(claimed())

    desk.flush()

    assert len(desk.postgres.commits[0]) == 1


def test_a_writer_with_nothing_to_say_does_not_speak(desk: Desk) -> None:
    desk.flush()

    assert desk.postgres.commits == []


def test_only_jobs_with_news_are_told_of(desk: Desk) -> None:
    silent, talking = claimed(), claimed()
    desk.open(silent)
    add(desk.open(talking), "Once")

    desk.flush()

    assert desk.notices == [talking.id]


# ---- outcomes ----------------------------------------------------------------------------------------------


def test_an_outcome_goes_with_the_text_before_it(desk: Desk) -> None:
    job = claimed()
    log = desk.open(job)
    add(log, "Once")

    desk.writer.finish(log, DONE)
    desk.writer.flush(everything=False)

    (report,) = desk.postgres.commits[0]
    assert (len(report.rows), report.outcome) == (1, DONE)


def test_a_job_that_has_ended_does_not_wait_for_the_others(desk: Desk) -> None:
    ended, running = claimed(), claimed()
    add(desk.open(running), "Once")

    desk.writer.finish(desk.open(ended), DONE)
    desk.writer.flush(everything=False)

    assert [report.job_id for report in desk.postgres.commits[0]] == [ended.id]


def test_a_job_that_has_ended_is_forgotten(desk: Desk) -> None:
    job = claimed()
    desk.writer.finish(desk.open(job), DONE)

    desk.flush()

    assert desk.writer.runs() == set()


def test_a_running_job_is_remembered(desk: Desk) -> None:
    job = claimed()
    desk.open(job)

    desk.flush()

    assert desk.writer.runs() == {job.run}


def test_a_run_that_is_opened_twice_is_written_by_one_log(desk: Desk) -> None:
    job = claimed()

    assert desk.writer.open(job) is desk.writer.open(job)


# ---- lost jobs ---------------------------------------------------------------------------------------------


def test_a_lost_job_is_dropped_and_told_of(desk: Desk) -> None:
    job = claimed()
    add(desk.open(job), "Once")
    desk.postgres.lost.add(job.run)

    desk.flush()

    assert desk.lost == [job.run]
    assert desk.writer.runs() == set()


def test_a_lost_job_does_not_take_others_along(desk: Desk) -> None:
    lost, kept = claimed(), claimed()
    add(desk.open(lost), "Once")
    add(desk.open(kept), "upon")
    desk.postgres.lost.add(lost.run)

    desk.flush()

    assert desk.postgres.text(kept) == "upon"


def test_an_old_run_does_not_take_the_new_run_of_its_job_along(desk: Desk) -> None:
    # The worker lost its lease and claimed the same job again, before it noticed.
    old = claimed(fence=1)
    new = claimed(id=old.id, fence=3)
    add(desk.open(old), "late")
    add(desk.open(new), "Right")
    desk.postgres.lost.add(old.run)

    desk.flush()

    assert desk.lost == [old.run]
    assert desk.writer.runs() == {new.run}
    assert desk.postgres.text(new) == "Right"


def test_a_resumed_log_goes_on_where_it_ended(desk: Desk) -> None:
    job = claimed(log=[Piece(0, byte_ids("Once "), "Once ")])
    log = desk.open(job)
    assert log.tokens == 5

    add(log, "upon")
    desk.flush()

    assert [chunk.offset for chunk in desk.postgres.log(job)] == [5]
    assert desk.postgres.text(job) == "Once upon"


# ---- what has no token -------------------------------------------------------------------------------------


def test_an_end_without_a_token_waits_for_text_and_takes_no_place_in_the_log(desk: Desk) -> None:
    job = claimed()
    log = desk.open(job)
    add(log, "Once")
    desk.flush()
    log.add(Entry(0, (), "", finish="stop"))
    desk.flush()
    log.add(Entry(1, byte_ids("Fin."), "Fin."))
    desk.flush()

    assert [(chunk.offset, chunk.tokens) for chunk in desk.postgres.log(job)] == [(0, 4), (4, 4)]
    assert fold(read(desk.postgres.log(job), log.key)) == [
        Piece(0, byte_ids("Once"), "Once", "stop"),
        Piece(1, byte_ids("Fin."), "Fin."),
    ]


def test_an_end_without_a_token_is_written_with_the_outcome(desk: Desk) -> None:
    job = claimed()
    log = desk.open(job)
    add(log, "Once")
    desk.flush()
    log.add(Entry(0, (), "", finish="length"))
    desk.writer.finish(log, DONE)
    desk.flush()

    assert [(chunk.offset, chunk.tokens) for chunk in desk.postgres.log(job)] == [(0, 4), (4, 0)]


def test_an_end_without_a_token_is_left_to_the_next_run_of_a_job_put_back(desk: Desk) -> None:
    job = claimed()
    log = desk.open(job)
    add(log, "Once")
    desk.flush()
    log.add(Entry(0, (), "", finish="length"))
    desk.writer.finish(log, Outcome(State.QUEUED, work=4))
    desk.flush()

    assert [(chunk.offset, chunk.tokens) for chunk in desk.postgres.log(job)] == [(0, 4)]


# ---- readers -----------------------------------------------------------------------------------------------


def test_a_job_that_is_read_is_written_before_its_turn(desk: Desk) -> None:
    read_one, other = claimed(), claimed()
    logs = [desk.open(job) for job in (read_one, other)]
    desk.writer.attend(read_one.id)
    for log in logs:
        add(log, "Once")

    desk.writer.flush(everything=False)
    desk.writer.flush(everything=False)

    assert desk.postgres.text(read_one) == "Once"
    assert len(desk.postgres.commits) == 1
    assert desk.postgres.text(other) == ""


def test_a_reader_who_is_not_told_of_again_is_forgotten(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.writer.BELIEVED_SECONDS", 0.0)
    job = claimed()
    desk.writer.attend(job.id)
    add(desk.open(job), "Once")

    desk.writer.flush(everything=False)

    assert desk.postgres.commits == []
