from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from api.app import create_app
from quire import testing
from quire.database import Database
from quire.settings import Settings
from quire.testing import FakePublisher, Place
from tests.contract.client import Api, problem, shown
from tests.contract.working import FakeWorker


def test_the_process_answers_without_a_key(app: Flask) -> None:
    answer = app.test_client().get("/healthz")
    assert (answer.status_code, answer.json) == (200, {"status": "ok"})


def test_ready_means_postgres_and_its_migrations(app: Flask) -> None:
    answer = app.test_client().get("/readyz")
    assert (answer.status_code, shown(answer)["status"], shown(answer)["redis"]) == (200, "ready", "unavailable")


def test_redis_is_reported(settings: Settings, place: Place, hub: Any, redis_url: str) -> None:
    there = settings.model_copy(update={"redis_url": type(settings.redis_url)(redis_url)})
    app = create_app(there, database=place.database, publisher=FakePublisher(), notices=hub)
    assert shown(app.test_client().get("/readyz"))["redis"] == "ok"


def test_without_postgres_it_is_not_ready(settings: Settings, hub: Any) -> None:
    database = Database("postgresql+psycopg://nobody@127.0.0.1:1/none", name="test", connect_timeout=1)
    app = create_app(settings, database=database, publisher=FakePublisher(), notices=hub)

    problem(app.test_client().get("/readyz"), 503, "unavailable")
    assert app.test_client().get("/healthz").status_code == 200
    metrics = app.test_client().get("/metrics")
    assert (metrics.status_code, "quire_postgres_up 0.0" in metrics.text) == (200, True)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE alembic_version SET version_num = '0001'",
        "DELETE FROM alembic_version",
        "DROP TABLE alembic_version",
    ],
)
def test_with_tables_of_an_older_version_it_is_not_ready(app: Flask, place: Place, statement: str) -> None:
    with place.database.engine.begin() as connection:
        connection.execute(text(statement))
    problem(app.test_client().get("/readyz"), 503, "unavailable")


def test_on_tables_of_a_newer_version_it_goes_on(app: Flask, place: Place) -> None:
    with place.database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    answer = app.test_client().get("/readyz")

    assert (answer.status_code, shown(answer)["migration"]) == (200, "9999")


def test_metrics_count_requests_jobs_and_workers(app: Flask, api: Api, worker: FakeWorker) -> None:
    api.submitted()
    worker.claim()
    api.submitted()
    api.submitted()
    api.submitted(not_before="2900-01-01T00:00:00Z")
    api.submit(n=0)
    api.get("/some/made-up/path")

    answer = app.test_client().get("/metrics")
    assert answer.mimetype == "text/plain"
    for line in (
        'quire_http_requests_total{method="POST",route="/v1/jobs",status="202"} 4.0',
        'quire_http_requests_total{method="POST",route="/v1/jobs",status="400"} 1.0',
        'quire_http_requests_total{method="GET",route="unmatched",status="404"} 1.0',
        'quire_http_request_seconds_count{method="POST",route="/v1/jobs"} 5.0',
        'quire_jobs_submitted_total{model="tiny"} 4.0',
        'quire_jobs_live{model="tiny",state="queued"} 2.0',
        'quire_jobs_live{model="tiny",state="held"} 1.0',
        'quire_jobs_live{model="tiny",state="running"} 1.0',
        'quire_workers_live{model="tiny"} 1.0',
        "quire_http_waiters 0.0",
        "quire_postgres_up 1.0",
    ):
        assert line in answer.text.splitlines()


def test_apps_do_not_share_their_metrics(settings: Settings, place: Place, hub: Any) -> None:
    first, second = (
        create_app(settings, database=place.database, publisher=FakePublisher(), notices=hub) for _ in range(2)
    )
    first.test_client().get("/healthz")
    assert 'route="/healthz"' not in second.test_client().get("/metrics").text
    assert testing.MODEL not in first.test_client().get("/metrics").text
