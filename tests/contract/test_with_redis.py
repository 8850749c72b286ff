"""With the real publisher and the real notices, on a Redis that is there and on one that is not."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask
from redis import Redis

from api.app import create_app
from quire import ids
from quire.messages import Notices
from quire.queue import Publisher, length
from quire.settings import Settings
from quire.testing import MODEL, Place
from tests.contract.client import Api, add_key, shown
from tests.contract.working import FakeWorker, words


@pytest.fixture
def url(request: pytest.FixtureRequest) -> str:
    return "redis://127.0.0.1:1/0" if request.param == "away" else str(request.getfixturevalue("redis_url"))


@pytest.fixture
def app(settings: Settings, place: Place, url: str) -> Iterator[Flask]:
    publisher, notices = Publisher(url), Notices(url)
    app = create_app(settings, database=place.database, publisher=publisher, notices=notices)
    yield app
    app.extensions["quire"].waiting.close()
    publisher.close()
    notices.close()


@pytest.fixture
def api(app: Flask, place: Place) -> Api:
    return Api(app, add_key(place.database, place.tenant))


@pytest.mark.parametrize("url", ["there"], indirect=True)
def test_a_submission_leaves_a_token_for_the_workers(api: Api, url: str) -> None:
    api.submitted()
    with Redis.from_url(url) as client:
        end = time.monotonic() + 10
        while not length(client, MODEL):
            assert time.monotonic() < end
        assert length(client, MODEL) == 1


@pytest.mark.parametrize("url", ["there", "away"], indirect=True)
def test_a_waiter_is_answered_with_redis_and_without(api: Api, worker: FakeWorker, url: str) -> None:
    job = api.submitted()["id"]
    worker.claim()
    with ThreadPoolExecutor(1) as pool, Redis.from_url(url):
        waiting = pool.submit(api.get, f"/v1/jobs/{job}", headers={"Prefer": "wait=30"})
        worker.finish(job, words("The end."))
        notices = Notices(url)
        notices.send([ids.parse("job", job)])  # type: ignore[list-item]
        notices.close()
        answer = waiting.result(10)
    assert (shown(answer)["state"], answer.headers["Preference-Applied"]) == ("succeeded", "wait=30")


@pytest.mark.parametrize("url", ["away"], indirect=True)
def test_submissions_are_accepted_without_redis(api: Api, url: str) -> None:
    assert len({api.submitted()["id"] for _ in range(10)}) == 10
