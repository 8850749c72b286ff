"""Tokens and notices on a real Valkey."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from celery import Celery
from kombu.exceptions import OperationalError
from redis import Redis
from sqlalchemy import text

from quire import queue
from quire.ids import new_id
from quire.messages import CHANGED, Notices
from quire.queue import Publisher
from quire.testing import MODEL, Place
from scheduler import tokens
from tests.integration import steps
from tests.waiting import until

NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture
def client(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def app(redis_url: str) -> Iterator[Celery]:
    app = queue.celery_app(redis_url)
    yield app
    app.close()


def waiting(client: Redis) -> int:
    return queue.length(client, MODEL)


# ---- topping up --------------------------------------------------------------------------------------------


def test_a_token_is_made_for_each_job_that_could_run(place: Place, client: Redis, app: Celery) -> None:
    steps.worker(place, slots=8)
    steps.many_queued(place, 3)

    assert tokens.top_up(place.database, client, app) == 3
    assert waiting(client) == 3


def test_no_more_tokens_are_made_than_slots_are_free(place: Place, client: Redis, app: Celery) -> None:
    worker = steps.worker(place, slots=4)
    steps.many_queued(place, 10)
    steps.claim(place, worker, 3)

    assert tokens.top_up(place.database, client, app) == 1


def test_tokens_that_wait_are_not_made_again(place: Place, client: Redis, app: Celery) -> None:
    steps.worker(place, slots=8)
    steps.many_queued(place, 3)
    tokens.top_up(place.database, client, app)

    assert tokens.top_up(place.database, client, app) == 0


def test_tokens_that_were_lost_are_made_again(place: Place, client: Redis, app: Celery) -> None:
    steps.worker(place, slots=8)
    steps.many_queued(place, 3)
    tokens.top_up(place.database, client, app)
    client.flushall()

    assert tokens.top_up(place.database, client, app) == 3


@pytest.mark.parametrize(
    "absent",
    [
        "UPDATE workers SET draining = true",
        "UPDATE workers SET lease_until = clock_timestamp()",
        "DELETE FROM workers",
    ],
    ids=["draining", "lapsed", "gone"],
)
def test_without_a_live_worker_no_tokens_are_made(place: Place, client: Redis, app: Celery, absent: str) -> None:
    steps.worker(place)
    steps.queued(place)
    with place.database.service() as session:
        session.execute(text(absent))

    assert tokens.top_up(place.database, client, app) == 0


def test_jobs_of_a_lane_at_its_cap_need_no_tokens(place: Place, client: Redis, app: Celery) -> None:
    worker = steps.worker(place, slots=8)
    capped = steps.tenant(place, max_running=2)
    steps.many_queued(place, 5, capped)
    steps.claim(place, worker, 2)

    assert tokens.top_up(place.database, client, app) == 0


def test_held_jobs_need_no_tokens(place: Place, client: Redis, app: Celery) -> None:
    steps.worker(place)
    steps.queued(place, not_before=datetime.now(UTC) + timedelta(hours=1))

    assert tokens.top_up(place.database, client, app) == 0


# ---- publishing --------------------------------------------------------------------------------------------


def test_a_submission_puts_one_token_on_the_queue_of_its_model(redis_url: str, client: Redis) -> None:
    publisher = Publisher(redis_url)

    publisher.wake(MODEL)
    publisher.close(timeout=20)

    assert waiting(client) == 1
    assert queue.length(client, "another") == 0


def test_closing_publishes_what_is_waiting(redis_url: str, client: Redis) -> None:
    publisher = Publisher(redis_url)
    for _ in range(20):
        publisher.wake(MODEL)

    publisher.close(timeout=20)

    assert waiting(client) == 20


def test_without_redis_a_submission_is_not_disturbed(caplog: pytest.LogCaptureFixture) -> None:
    publisher = Publisher(NOWHERE)

    publisher.wake(MODEL)
    publisher.close(timeout=20)

    assert "publish failed" in caplog.messages


def test_a_token_that_cannot_be_published_is_given_up_at_once() -> None:
    with pytest.raises(OperationalError, match="refused"):
        queue.publish(queue.celery_app(NOWHERE), MODEL, 1)


def test_tokens_beyond_the_backlog_are_dropped(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    going_on = threading.Event()
    monkeypatch.setattr(queue, "publish", lambda *_: going_on.wait(20))
    publisher = Publisher(NOWHERE, backlog=2)

    for _ in range(10):
        publisher.wake(MODEL)

    assert "token dropped" in caplog.messages
    going_on.set()
    publisher.close(timeout=20)


def test_a_publisher_that_was_not_used_closes(caplog: pytest.LogCaptureFixture) -> None:
    Publisher(NOWHERE).close()

    assert caplog.messages == []


# ---- notices -----------------------------------------------------------------------------------------------


class Listener:
    """Hears notices on a thread, until it is stopped."""

    def __init__(self, url: str) -> None:
        self.heard: list[UUID] = []
        self.notices = Notices(url)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.notices.listen, args=(self.heard.append, self._stop))
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(timeout=20)
        self.notices.close()
        assert not self._thread.is_alive()


@pytest.fixture
def listener(redis_url: str, client: Redis) -> Iterator[Listener]:
    listener = Listener(redis_url)
    until(lambda: client.pubsub_numsub(CHANGED)[0][1] == 1)
    yield listener
    listener.stop()


def test_who_listens_hears_of_the_jobs_that_changed(redis_url: str, listener: Listener) -> None:
    jobs = [new_id(), new_id()]
    notices = Notices(redis_url)

    notices.send(jobs)

    until(lambda: listener.heard == jobs)
    notices.close()


def test_nothing_is_sent_for_no_jobs(redis_url: str, client: Redis) -> None:
    with client.pubsub(ignore_subscribe_messages=True) as subscription:
        subscription.subscribe(CHANGED)
        until(lambda: client.pubsub_numsub(CHANGED)[0][1] == 1)
        notices = Notices(redis_url)

        notices.send([])
        notices.send([new_id()])

        until(lambda: subscription.get_message(timeout=1))
        assert subscription.get_message() is None
        notices.close()


def test_a_notice_carries_no_text(redis_url: str, client: Redis) -> None:
    job = new_id()
    with client.pubsub(ignore_subscribe_messages=True) as subscription:
        subscription.subscribe(CHANGED)
        until(lambda: client.pubsub_numsub(CHANGED)[0][1] == 1)
        notices = Notices(redis_url)
        notices.send([job])
        heard: list = []

        until(lambda: heard.append(subscription.get_message(timeout=1)) or heard[-1])

        assert heard[-1]["data"] == f'["{job.hex}"]'.encode()
        notices.close()


def test_without_redis_a_notice_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")

    Notices(NOWHERE).send([new_id()])

    assert "notice dropped" in caplog.messages


def test_a_listener_survives_a_message_that_is_no_notice(
    redis_url: str, client: Redis, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quire.messages.RETRY_SECONDS", 0.001)
    job, notices = new_id(), Notices(redis_url)
    client.publish(CHANGED, "no notice")

    until(lambda: notices.send([job]) or job in listener.heard)

    notices.close()


def test_a_listener_survives_that_its_connection_is_cut(
    redis_url: str, client: Redis, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quire.messages.RETRY_SECONDS", 0.001)
    job, notices = new_id(), Notices(redis_url)
    client.client_kill_filter(_type="pubsub")

    until(lambda: notices.send([job]) or job in listener.heard)

    notices.close()
