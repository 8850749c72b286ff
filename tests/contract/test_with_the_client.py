"""The client of this repository speaks to this API without a socket between them: both read one contract."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from flask import Flask

from quire_client import ConflictError, GoneError, KeyReusedError, NotFoundError, Quire, StateEvent, TextEvent
from quire_client.errors import AuthenticationError, BadRequestError, PermissionDeniedError
from tests.contract.client import ADMIN_TOKEN
from tests.contract.working import FakeWorker, words

Connect = Callable[[str], Quire]


@pytest.fixture
def connect(app: Flask) -> Iterator[Connect]:
    opened: list[Quire] = []

    def open_one(key: str) -> Quire:
        transport = httpx.WSGITransport(app=app)
        opened.append(Quire("http://quire.test", api_key=key, admin_token=ADMIN_TOKEN, transport=transport))
        return opened[-1]

    yield open_one
    for client in opened:
        client.close()


@pytest.fixture
def quire(connect: Connect, api: Any) -> Quire:
    return connect(api.secret)


def test_a_job_from_its_submission_to_its_text(quire: Quire, worker: FakeWorker) -> None:
    job = quire.jobs.submit("Once upon a time", n=2, metadata={"shelf": "sea"}, stop="THE END")
    assert (job.state, job.queue_position, job.parameters.stop) == ("queued", 1, ("THE END",))
    assert job.input is not None
    assert job.input.prompt == "Once upon a time"

    worker.claim()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(quire.jobs.wait, job.id, 30)
        worker.finish(job.id, words("The end.", finish="stop"), words("Fin.", piece=1, finish="length"))
        done = waiting.result(30)

    assert (done.state, done.text, done.usage.total_tokens) == ("succeeded", "The end.", 28)
    assert [piece.finish_reason for piece in done.pieces] == ["stop", "length"]
    assert quire.jobs.output(job.id) == "The end.\n* * *\nFin."
    assert quire.jobs.output(job.id, 1) == "Fin."
    assert [listed.id for listed in quire.jobs.list(state="succeeded", limit=1)] == [job.id]
    quire.jobs.delete(job.id)
    with pytest.raises(NotFoundError):
        quire.jobs.get(job.id)


def test_every_change_of_a_job_is_seen(quire: Quire, worker: FakeWorker) -> None:
    job = quire.jobs.submit("Once")
    changes = quire.jobs.watch(job.id, timeout=30)
    assert next(changes).state == "queued"
    worker.claim()
    assert next(changes).state == "running"
    worker.write(job.id, words("The sea"))
    assert next(changes).text == "The sea"
    worker.finish(job.id, words(" is wide."))
    assert {change.text for change in changes} == {"The sea is wide."}


def test_a_job_streams_its_text(quire: Quire, worker: FakeWorker) -> None:
    job = quire.jobs.submit("Once")
    events = job.stream(timeout=30)
    assert isinstance(state := next(events), StateEvent)
    assert state.state == "queued"
    worker.claim()
    worker.write(job.id, words("The sea"))
    text = next(event for event in events if isinstance(event, TextEvent))
    worker.finish(job.id, words(" is wide.", finish="stop"))

    assert (text.text, text.id) == ("The sea", "1:7")
    assert [event.text for event in quire.jobs.stream(job.id, after=text.id) if isinstance(event, TextEvent)] == [
        " is wide."
    ]


def test_pages_are_followed_to_the_end(quire: Quire) -> None:
    jobs = [quire.jobs.submit(form="poem", theme="rain").id for _ in range(5)]
    assert [job.id for job in quire.jobs.list(limit=2)] == jobs[::-1]


def test_errors_arrive_as_what_they_are(quire: Quire, connect: Connect) -> None:
    with pytest.raises(BadRequestError) as wrong:
        quire.jobs.submit("Once", max_tokens=0)
    assert wrong.value.fields[0].field == "max_tokens"

    job = quire.jobs.submit("Once", idempotency_key="k")
    assert quire.jobs.submit("Once", idempotency_key="k").id == job.id
    with pytest.raises(KeyReusedError):
        quire.jobs.submit("Twice", idempotency_key="k")
    with pytest.raises(ConflictError):
        quire.jobs.delete(job.id)
    quire.jobs.cancel(job.id)
    quire.jobs.delete(job.id)
    with pytest.raises(GoneError):
        quire.jobs.submit("Once", idempotency_key="k")
    with pytest.raises(AuthenticationError):
        connect("qk_" + "a" * 12 + "_" + "b" * 43).models.list()


def test_the_operator_makes_tenants_and_keys(quire: Quire, connect: Connect) -> None:
    tenant = quire.tenants.create("press", weight=2)
    key = quire.keys.create(tenant.id, name="laptop", scopes=["jobs:read"])
    assert key.secret is not None
    tenants = connect(key.secret)

    assert [model.id for model in tenants.models.list()] == ["tiny"]
    with pytest.raises(PermissionDeniedError):
        tenants.jobs.submit("Once")
    quire.keys.revoke(tenant.id, key.id)
    with pytest.raises(AuthenticationError):
        tenants.models.list()
    [revoked] = quire.keys.list(tenant.id)
    assert revoked.revoked_at is not None
    assert tenant in list(quire.tenants.list())
