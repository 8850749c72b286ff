"""The client of this repository speaks to this API without a socket between them: both read one contract."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from flask import Flask

from quire.testing import Place
from quire_client import ConflictError, GoneError, KeyReusedError, NotFoundError, Quire, StateEvent, TextEvent
from quire_client.cli.main import Outside, main
from quire_client.errors import AuthenticationError, BadRequestError, PermissionDeniedError
from scheduler.batching import Batching
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


def test_a_batch_from_its_file_to_its_results(
    quire: Quire, worker: FakeWorker, place: Place, tmp_path: Path
) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("title,sku\nSea,s\nHill,h\n")
    template = {"prompt": "{{title}}", "custom_id": "{{sku}}", "max_tokens": 8}
    batch = quire.batches.submit(file=file, template=template, metadata={"shelf": "a"}, idempotency_key="k")
    assert (
        quire.batches.submit(file=file, template=template, metadata={"shelf": "a"}, idempotency_key="k") == batch
    )
    assert (batch.state, batch.counts.held, batch.is_over) == ("running", 2, False)

    Batching(place.database, window=8).run()
    worker.claim()
    first, second = sorted(job.id for job in quire.jobs.list())
    worker.finish(second, words("Up", finish="stop"))
    worker.finish(first, words("Down", finish="stop"))
    Batching(place.database, window=8).run()

    done = quire.batches.wait(batch.id, 5).raise_for_state()
    assert (done.counts.succeeded, done.usage.completion_tokens) == (2, 6)
    assert [(result.custom_id, result.text) for result in quire.batches.results(batch.id)] == [
        ("h", "Up"),
        ("s", "Down"),
    ]
    assert [listed.id for listed in quire.batches.list()] == [batch.id]
    with pytest.raises(ConflictError):
        quire.batches.retry(batch.id)
    quire.batches.delete(batch.id)
    assert list(quire.batches.list()) == []


def test_a_wrong_line_is_named_by_the_client_too(quire: Quire, tmp_path: Path) -> None:
    file = tmp_path / "items.jsonl"
    file.write_text('{"prompt": "a"}\n{"prompt": "b", "n": 99}\n')

    with pytest.raises(BadRequestError) as wrong:
        quire.batches.submit(file=file)

    assert (wrong.value.fields[0].line, wrong.value.fields[0].field) == (2, "n")


def test_the_command_line_takes_a_batch_through(
    app: Flask,
    api: Any,
    place: Place,
    worker: FakeWorker,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("QUIRE_API_KEY", api.secret)
    file, kept = tmp_path / "items.jsonl", tmp_path / "results.csv"
    file.write_text('{"prompt": "a", "custom_id": "x"}\n{"prompt": "b"}\n')

    def run(*words: str) -> str:
        assert main([*words, "--url", "http://quire.test"], Outside(httpx.WSGITransport(app=app))) == 0
        return capsys.readouterr().out

    batch = run("batch", "submit", str(file), "--max-running", "1", "--meta", "a=b").strip()
    Batching(place.database, window=8).run()
    worker.claim()
    worker.finish(api.get("/v1/jobs").json["data"][0]["id"], words("Fin"))
    Batching(place.database, window=8).run()

    assert json.loads(run("batch", "results", batch))["custom_id"] == "x"
    run("batch", "results", batch, "--csv", "--output", str(kept))
    assert len(kept.read_text().splitlines()) == 2
    assert "running" in run("batch", "list")
    assert run("batch", "cancel", batch).strip() == "cancelled"
    assert json.loads(run("batch", "show", batch, "--json"))["counts"]["cancelled"] == 1
    child = run("batch", "retry", batch, "--state", "cancelled").strip()
    run("batch", "cancel", child)
    assert (
        main(["batch", "watch", child, "--url", "http://quire.test"], Outside(httpx.WSGITransport(app=app))) == 1
    )
    run("batch", "delete", child)
