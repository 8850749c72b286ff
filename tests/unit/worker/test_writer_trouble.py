"""What the writer keeps when Postgres is away, and what it does with what Postgres refuses."""

import pytest
from sqlalchemy.exc import InterfaceError, InternalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from quire.jobs import Outcome
from quire.store.job import State
from tests.unit.worker.fakes import AWAY, claimed
from tests.unit.worker.places import Desk, add

DONE = Outcome(State.SUCCEEDED, work=9)


@pytest.fixture
def desk() -> Desk:
    return Desk()


TROUBLE = [
    AWAY,
    InternalError("statement", {}, Exception("cannot execute UPDATE in a read-only transaction")),
    InterfaceError("statement", {}, Exception("connection is closed")),
    PoolTimeout("no connection"),
]


@pytest.mark.parametrize("error", TROUBLE, ids=lambda error: type(error).__name__)
def test_what_could_not_be_written_is_kept(desk: Desk, error: Exception) -> None:
    job = claimed()
    add(desk.open(job), "Once")
    desk.postgres.before = [error]

    with pytest.raises(type(error)):
        desk.flush()
    desk.flush()

    assert desk.postgres.text(job) == "Once"


def test_while_postgres_is_away_text_gathers_in_order(desk: Desk) -> None:
    job = claimed()
    log = desk.open(job)
    desk.postgres.before = [AWAY] * 3
    for text in ("a", "b", "c"):
        add(log, text)
        with pytest.raises(type(AWAY)):
            desk.flush()
    add(log, "d")

    desk.flush()
    desk.flush()

    assert desk.postgres.text(job) == "abcd"


def test_a_commit_whose_answer_was_lost_is_not_written_twice(desk: Desk) -> None:
    job = claimed()
    log = desk.open(job)
    add(log, "Once ")
    desk.postgres.after = [AWAY]
    with pytest.raises(type(AWAY)):
        desk.flush()
    add(log, "upon")

    desk.flush()
    desk.flush()

    assert desk.postgres.text(job) == "Once upon"


def test_an_outcome_waits_for_the_text_that_came_after_a_lost_answer(desk: Desk) -> None:
    job = claimed()
    log = desk.open(job)
    add(log, "Once ")
    desk.postgres.after = [AWAY]
    with pytest.raises(type(AWAY)):
        desk.flush()
    add(log, "upon")
    desk.writer.finish(log, DONE)

    desk.writer.flush(everything=False)
    assert desk.postgres.outcomes == {}
    desk.writer.flush(everything=False)

    assert desk.postgres.outcomes == {job.run: DONE}
    assert desk.postgres.text(job) == "Once upon"


def test_an_outcome_that_could_not_be_written_is_kept(desk: Desk) -> None:
    job = claimed()
    desk.writer.finish(desk.open(job), DONE)
    desk.postgres.before = [AWAY]
    with pytest.raises(type(AWAY)):
        desk.writer.flush(everything=False)

    desk.writer.flush(everything=False)

    assert desk.postgres.outcomes == {job.run: DONE}


def test_a_report_that_postgres_refuses_fails_alone(desk: Desk) -> None:
    bad, good = claimed(), claimed()
    add(desk.open(bad), "Once")
    add(desk.open(good), "upon")
    desk.postgres.refuses.add(bad.id)

    desk.flush()

    assert desk.postgres.text(good) == "upon"
    assert desk.writer.runs() == {good.run}


def test_a_job_whose_text_is_refused_ends_as_failed(desk: Desk) -> None:
    # It would otherwise run for ever on a worker that has forgotten it.
    bad = claimed("Once")
    log = desk.open(bad)
    add(log, "good")
    desk.flush()
    add(log, "bad")
    desk.postgres.refuses.add(bad.id)

    desk.flush()

    outcome = desk.postgres.outcomes[bad.run]
    assert (outcome.state, outcome.completion_tokens, outcome.work) == (State.FAILED, 4, 4 + 7)
    assert outcome.error["code"] == "internal_error"
    assert desk.lost == [bad.run]
