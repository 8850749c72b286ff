"""Rotating the master key at work: two APIs, two workers and two schedulers, restarted in any order.

Step 1, every process learns to open with the new key (`old,new`). Step 2, every process wraps with it (`new,old`).
Step 3, once nothing is left on the old key, it goes (`new`).
"""

import itertools
import random
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from api.app import create_app
from quire import ids, testing
from quire.crypto import KeyRing, new_master_key
from quire.database import Database
from quire.messages import Notices
from quire.settings import Settings
from quire.store import Job, Tenant
from quire.store.job import State
from quire.testing import MASTER_KEYS, MODEL, FakePublisher
from scheduler import housekeeping
from tests.contract.client import ADMIN_TOKEN, Api, shown
from tests.integration.test_service import WholeEngine
from tests.waiting import until
from worker.service import Service

PROCESSES = ("api-1", "api-2", "worker-1", "worker-2", "scheduler-1", "scheduler-2")
OLD = MASTER_KEYS


class System:
    """Processes in everything but name: each has its settings, its connections and its key ring for itself."""

    def __init__(self, url: str, redis_url: str) -> None:
        self._url, self._redis_url = url, redis_url
        self._stacks = {name: ExitStack() for name in PROCESSES}
        self.apis: dict[str, Flask] = {}
        self._schedulers: dict[str, KeyRing] = {}
        self.database = Database(testing.sqlalchemy_url(url), name="scheduler", pool_size=2)
        self._numbers = itertools.count()
        self._keys: list[str] = []
        self._submitted: list[tuple[str, str]] = []  # the key of a tenant, and a job of it

    def restart(self, name: str, ring: str) -> None:
        """Stop a process, and start it with this ring."""
        self._stacks[name].close()
        settings = Settings(
            database_url=testing.sqlalchemy_url(self._url),
            redis_url=self._redis_url,
            master_keys=ring,
            admin_token=ADMIN_TOKEN,
            models={MODEL: "nowhere"},
            flush_seconds=0.02,
            idle_look_seconds=0.02,
        )
        if name.startswith("api"):
            self._start_api(name, settings)
        elif name.startswith("worker"):
            service = Service(settings, WholeEngine(lambda _: "Hello"))
            service.start()
            self._stacks[name].callback(service.stop)
        else:
            self._schedulers[name] = KeyRing.parse(ring)

    def _start_api(self, name: str, settings: Settings) -> None:
        database = Database(settings.sqlalchemy_url, name=name)
        notices = Notices(self._redis_url)
        app = create_app(settings, database=database, publisher=FakePublisher(), notices=notices)
        self.apis[name] = app
        for close in (database.close, notices.close, app.extensions["quire"].waiting.close):
            self._stacks[name].callback(close)

    def new_tenant(self, app: Flask) -> None:
        operator = Api(app, ADMIN_TOKEN)
        made = shown(operator.post("/v1/tenants", json={"name": f"tenant {next(self._numbers)}"}))
        self._keys.append(shown(operator.post(f"/v1/tenants/{made['id']}/keys", json={}))["secret"])

    def use(self) -> None:
        """What goes on all the time: tenants are made, jobs of the new and the first one taken, keys wrapped."""
        for app in self.apis.values():
            self.new_tenant(app)
            for key in (self._keys[0], self._keys[-1]):
                self._submitted.append((key, Api(app, key).submitted()["id"]))
        for ring in self._schedulers.values():
            housekeeping.rewrap_data_keys(self.database, ring)

    def all_succeed(self) -> None:
        for key, job in self._submitted:
            for app in self.apis.values():
                until(lambda app=app, key=key, job=job: Api(app, key).job(job)["state"] == "succeeded")
        self._submitted.clear()

    def on_master_keys(self) -> dict[str, int]:
        with self.database.service() as session:
            return dict(session.execute(text("SELECT master_key, count(*) FROM tenants GROUP BY 1")).all())

    def close(self) -> None:
        for stack in self._stacks.values():
            stack.close()
        self.database.close()


@pytest.fixture
def system(postgres_url: str, redis_url: str, database: Database) -> Iterator[System]:
    with database.service() as session:
        testing.add_model(session)
    system = System(postgres_url, redis_url)
    for name in PROCESSES:
        system.restart(name, OLD)
    yield system
    system.close()


@pytest.mark.parametrize("seed", range(3))
def test_no_job_fails_while_the_master_key_is_rotated(system: System, seed: int) -> None:
    order = random.Random(seed)
    new = new_master_key("next")
    system.use()
    for ring in (f"{OLD},{new}", f"{new},{OLD}"):
        for name in order.sample(PROCESSES, len(PROCESSES)):
            system.restart(name, ring)
            system.use()
            system.all_succeed()
    assert set(system.on_master_keys()) == {"next"}

    for name in order.sample(PROCESSES, len(PROCESSES)):
        system.restart(name, new)
        system.use()
        system.all_succeed()

    assert set(system.on_master_keys()) == {"next"}


def test_in_one_step_a_process_would_meet_a_key_that_it_does_not_know(system: System, database: Database) -> None:
    # Why there are two: an API that wraps with the new key, before a worker has ever heard of it.
    new = new_master_key("next")
    system.restart("api-1", f"{new},{OLD}")
    api = system.apis["api-1"]
    system.new_tenant(api)
    key = system._keys[-1]
    job = Api(api, key).submitted()["id"]

    until(lambda: Api(api, key).job(job)["state"] == "failed")

    assert Api(api, key).job(job)["error"]["code"] == "undecryptable"
    answer: Any = Api(system.apis["api-2"], key).get(f"/v1/jobs/{job}")
    assert (answer.status_code, answer.json["code"]) == (500, "undecryptable")
    with database.service() as session:
        row = session.get_one(Job, ids.parse(ids.JOB, job))
        assert (row.state, session.get_one(Tenant, row.tenant_id).master_key) == (State.FAILED, "next")
