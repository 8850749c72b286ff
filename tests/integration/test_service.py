"""A whole worker with a fake engine, on a real Postgres and a real Valkey, without Celery."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any
from uuid import UUID

import pytest
from redis import Redis
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from quire import jobs, testing
from quire.database import Database
from quire.jobs import Claimed, Report
from quire.settings import Settings
from quire.store import Worker, blame
from quire.store.job import Run, State
from quire.testing import MODEL, Place
from tests.integration import steps
from tests.unit.worker.fakes import FakeEngine, byte_ids
from tests.waiting import until
from worker.engine import EngineStopped, Finished
from worker.service import Service


class FakeTokenizer:
    end_ids = frozenset({256})

    def written(self) -> list[bytes]:
        return []

    def encode(self, prompt: str) -> list[int]:
        return list(byte_ids(prompt))

    def serialise(self) -> str:
        return testing.byte_tokenizer()


class WholeEngine(FakeEngine):
    """The fake engine with all that a service asks of one."""

    slots, numerics, context_length, vocab_size = 4, "fake", 512, 257
    tokenizer = FakeTokenizer()

    def start(self) -> None:
        """Nothing to start."""

    def stop(self) -> None:
        for sequence in self.sequences:
            if not sequence.future.done():
                sequence.future.set_exception(EngineStopped())


Start = Callable[[WholeEngine], Service]


@pytest.fixture
def start(postgres_url: str, redis_url: str) -> Iterator[Start]:
    """Starts workers that look for jobs every few milliseconds; stops them at the end."""
    started: list[Service] = []
    settings = Settings(
        database_url=testing.sqlalchemy_url(postgres_url),
        redis_url=redis_url,
        master_keys=testing.MASTER_KEYS,
        models={MODEL: "nowhere"},
        flush_seconds=0.05,
        idle_look_seconds=0.02,
        heartbeat_seconds=0.05,
    )

    def start(engine: WholeEngine) -> Service:
        service = Service(settings, engine)
        started.append(service)
        service.start()
        return service

    yield start
    for service in started:
        service.stop()


def state(place: Place, job_id: UUID) -> State:
    return steps.job(place, job_id).state


def test_a_worker_makes_its_model_known(database: Database, start: Start) -> None:
    start(WholeEngine())

    with database.service() as session:
        row = session.execute(text("SELECT name, context_length, numerics, tokenizer FROM models")).one()
    assert row == (MODEL, 512, "fake", testing.byte_tokenizer())


def test_a_queued_job_is_found_without_a_token_and_succeeds(place: Place, start: Start) -> None:
    start(WholeEngine(lambda _: "Hello"))

    queued = steps.queued(place)

    until(lambda: state(place, queued.id) == State.SUCCEEDED)
    assert steps.text_of(place, place.tenant, queued.id) == "Hello"


def test_more_jobs_than_slots_all_succeed(place: Place, start: Start) -> None:
    queued = steps.many_queued(place, 12)

    start(WholeEngine())

    until(lambda: all(state(place, job_id) == State.SUCCEEDED for job_id in queued))


def test_running_text_can_be_read(place: Place, start: Start) -> None:
    engine = WholeEngine(waits=True)
    start(engine)
    queued = steps.queued(place)
    until(lambda: engine.sequences)

    engine.write(engine.sequences[0], "Hel")

    until(lambda: steps.text_of(place, place.tenant, queued.id) == "Hel")
    assert state(place, queued.id) == State.RUNNING


def test_a_cancelled_job_stops_in_the_engine(place: Place, start: Start) -> None:
    engine = WholeEngine(waits=True)
    start(engine)
    queued = steps.queued(place)
    until(lambda: engine.sequences)

    steps.cancel(place, queued.id)

    until(lambda: engine.cancelled == [0])


def test_a_worker_that_stops_puts_its_jobs_back_with_their_text(place: Place, start: Start) -> None:
    engine = WholeEngine(waits=True)
    service = start(engine)
    queued = steps.queued(place)
    until(lambda: engine.sequences)
    engine.write(engine.sequences[0], "Hel")

    service.stop()

    row = steps.job(place, queued.id)
    assert (row.state, row.attempts) == (State.QUEUED, 0)
    assert steps.text_of(place, place.tenant, queued.id) == "Hel"


def test_a_worker_that_stops_takes_its_lease_along(place: Place, start: Start) -> None:
    start(WholeEngine()).stop()

    with place.database.service() as session:
        assert session.query(Worker).all() == []


def test_another_worker_goes_on_where_the_first_one_stopped(place: Place, start: Start) -> None:
    first = WholeEngine(lambda _: "Hello World", waits=True)
    service = start(first)
    queued = steps.queued(place)
    until(lambda: first.sequences)
    first.write(first.sequences[0], "Hello ")
    service.stop()

    start(WholeEngine(lambda _: "Hello World"))

    until(lambda: state(place, queued.id) == State.SUCCEEDED)
    assert steps.text_of(place, place.tenant, queued.id) == "Hello World"


def test_a_worker_that_lost_its_lease_can_claim_its_own_job_again(place: Place, start: Start) -> None:
    engine = WholeEngine(lambda _: "Hello", waits=True)
    start(engine)
    queued = steps.queued(place)
    until(lambda: engine.sequences)

    steps.die(place, steps.job(place, queued.id).worker_id)
    steps.requeue(place)
    until(lambda: len(engine.sequences) == 2)
    engine.finish(engine.sequences[1])

    until(lambda: state(place, queued.id) == State.SUCCEEDED)
    assert steps.text_of(place, place.tenant, queued.id) == "Hello"


def test_a_claim_whose_answer_was_lost_strands_no_job(
    place: Place, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim, lost = jobs.claim, []

    def claim_and_lose(session: Session, **arguments: Any) -> list[Claimed]:
        claimed = claim(session, **arguments)
        if claimed and not lost:
            lost.extend(claimed)
            session.commit()
            raise OperationalError("COMMIT", {}, Exception("server closed the connection"))
        return claimed

    monkeypatch.setattr(jobs, "claim", claim_and_lose)
    queued = steps.queued(place)

    start(WholeEngine())

    until(lambda: state(place, queued.id) == State.SUCCEEDED)
    assert [claimed.id for claimed in lost] == [queued.id]
    assert steps.job(place, queued.id).attempts == 0


def test_a_commit_whose_answer_was_lost_loses_nothing(
    place: Place, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.writer.RETRY_SECONDS", 0.001)
    commit, lost = jobs.commit, []

    def commit_and_lose(session: Session, reports: list[Report]) -> set[Run]:
        answer = commit(session, reports)
        if not lost and any(report.rows for report in reports):
            lost.extend(reports)
            session.commit()
            raise OperationalError("COMMIT", {}, Exception("server closed the connection"))
        return answer

    monkeypatch.setattr(jobs, "commit", commit_and_lose)
    engine = WholeEngine(lambda _: "Hello World", waits=True)
    start(engine)
    queued = steps.queued(place)
    until(lambda: engine.sequences)
    engine.write(engine.sequences[0], "Hello ")
    until(lambda: lost)
    engine.write(engine.sequences[0], "World")
    engine.sequences[0].future.set_result(Finished("stop", -1.0, 11))

    until(lambda: state(place, queued.id) == State.SUCCEEDED)
    assert steps.text_of(place, place.tenant, queued.id) == "Hello World"
    assert steps.job(place, queued.id).completion_tokens == 11


def test_a_job_on_its_last_attempt_is_marked_as_alone(place: Place, start: Start) -> None:
    engine = WholeEngine(waits=True)
    queued = steps.queued(place)
    with place.database.service() as session:
        session.execute(text("UPDATE jobs SET attempts = 2"))

    start(engine)
    until(lambda: engine.sequences)

    assert steps.job(place, queued.id).alone


def test_a_job_that_cannot_be_marked_for_now_is_not_failed(
    place: Place, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: Future[None] = Future()

    def away(*_: object) -> bool:
        if not refused.done():
            refused.set_result(None)
            raise OperationalError("UPDATE", {}, Exception("server closed the connection"))
        return True

    monkeypatch.setattr(blame, "mark_alone", away)
    queued = steps.queued(place)
    with place.database.service() as session:
        session.execute(text("UPDATE jobs SET attempts = 2"))

    start(WholeEngine())

    until(lambda: state(place, queued.id) == State.SUCCEEDED)
    assert refused.done()


def test_jobs_that_end_are_told_of(place: Place, redis_url: str, start: Start) -> None:
    with Redis.from_url(redis_url) as client, client.pubsub(ignore_subscribe_messages=True) as subscription:
        subscription.subscribe("quire.jobs")
        subscription.get_message(timeout=1)
        start(WholeEngine())
        queued = steps.queued(place)
        heard: list = []

        until(lambda: heard.append(subscription.get_message(timeout=1)) or heard[-1])

    assert queued.id.hex.encode() in heard[-1]["data"]
