"""An app on a real Postgres, with fakes where it would talk to Redis."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from uuid import UUID

import pytest
from flask import Flask

from api.app import create_app
from quire import testing
from quire.database import Database
from quire.settings import Settings
from quire.testing import FakePublisher, Place
from tests.contract.client import ADMIN_TOKEN, Api, add_key
from tests.contract.working import FakeWorker


class Hub:
    """Stands for `quire.messages.Notices`: a test sends by hand what a worker would publish."""

    def __init__(self) -> None:
        self.listeners = 0
        self._ready = threading.Event()
        self._on_notice: Callable[[UUID], None] | None = None

    def listen(self, on_notice: Callable[[UUID], None], stop: threading.Event) -> None:
        self.listeners += 1
        self._on_notice = on_notice
        self._ready.set()
        stop.wait()

    def send(self, job: UUID) -> None:
        assert self._ready.wait(10)
        assert self._on_notice is not None
        self._on_notice(job)


def settings_for(url: str) -> Settings:
    return Settings(
        database_url=url,
        redis_url="redis://127.0.0.1:1/0",  # nobody is there, and nothing needs it
        master_keys=testing.MASTER_KEYS,
        admin_token=ADMIN_TOKEN,
        models={testing.MODEL: "nowhere", "unloaded": "nowhere", "tunes": "nowhere"},
        max_waiters=2,
        max_stream_seconds=5,
        stream_heartbeat_seconds=0.2,
        bad_keys_per_minute=1_000_000,  # many tests send bad keys on purpose
    )


@pytest.fixture
def settings(postgres_url: str) -> Settings:
    return settings_for(postgres_url)


@pytest.fixture
def publisher() -> FakePublisher:
    return FakePublisher()


@pytest.fixture
def hub() -> Hub:
    return Hub()


@pytest.fixture
def app(settings: Settings, place: Place, publisher: FakePublisher, hub: Hub) -> Iterator[Flask]:
    app = create_app(settings, database=place.database, publisher=publisher, notices=hub)
    yield app
    app.extensions["quire"].waiting.close()


@pytest.fixture
def api(app: Flask, place: Place) -> Api:
    """The client of the place's tenant."""
    return Api(app, add_key(place.database, place.tenant))


@pytest.fixture
def operator(app: Flask) -> Api:
    return Api(app, ADMIN_TOKEN)


@pytest.fixture
def stranger(app: Flask, place: Place) -> Api:
    """The client of another tenant."""
    with place.database.service() as session:
        tenant = testing.add_tenant(session)
    return Api(app, add_key(place.database, tenant))


@pytest.fixture
def worker(place: Place) -> FakeWorker:
    return FakeWorker(place)


@dataclass(frozen=True)
class Shared:
    """An app for all tests of one file: for those that leave nothing behind."""

    app: Flask
    place: Place
    api: Api
    operator: Api


@pytest.fixture(scope="module")
def shared(postgres_server: str, template: str) -> Iterator[Shared]:
    url = testing.create_database(postgres_server, template=template)
    database = Database(testing.sqlalchemy_url(url), name="test")
    place = testing.settle_in(database)
    app = create_app(settings_for(url), database=database, publisher=FakePublisher(), notices=Hub())
    yield Shared(app, place, Api(app, add_key(database, place.tenant)), Api(app, ADMIN_TOKEN))
    app.extensions["quire"].waiting.close()
    database.close()
    testing.drop_database(postgres_server, url)
