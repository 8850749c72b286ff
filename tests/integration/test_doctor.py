"""What `quire doctor` says of a healthy system, and of each thing that may be wrong."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import text

from quire import testing
from quire.crypto import new_master_key
from quire.database import API_CONNECTIONS, SCHEDULER_CONNECTIONS, WORKER_CONNECTIONS
from quire.doctor import others, postgres
from quire.doctor.__main__ import examine, main
from quire.doctor.finding import Finding, Level, Patient
from quire.settings import Settings
from quire.testing import MODEL, Place
from scheduler import forecasting
from scheduler.main import duties
from tests.integration import steps


def change(place: Place, statement: str) -> None:
    with place.database.engine.begin() as connection:
        connection.execute(text(statement))


@pytest.fixture
def settings(postgres_url: str, redis_url: str) -> Settings:
    return Settings(
        database_url=testing.sqlalchemy_url(postgres_url),
        redis_url=redis_url,
        master_keys=testing.MASTER_KEYS,
        models={MODEL: "nowhere"},
    )


@pytest.fixture
def patient(settings: Settings, place: Place) -> Iterator[Patient]:
    with Redis.from_url(settings.redis_url.get_secret_value()) as redis:
        policy = redis.config_get("maxmemory-policy")["maxmemory-policy"]
        redis.config_set("maxmemory-policy", "noeviction")
        yield Patient(settings, place.database, redis)
        redis.config_set("maxmemory-policy", policy)


def only(findings: Iterator[Finding]) -> Finding:
    (finding,) = findings
    return finding


def test_a_healthy_system_fails_nowhere(patient: Patient, place: Place) -> None:
    steps.worker(place)
    forecasting.measure(place.database)

    findings = list(examine(patient))

    bad = [finding for finding in findings if finding.level is not Level.OK]
    # The login of the tests is a superuser, which is worth a word and no more.
    assert [(finding.level, finding.about) for finding in bad] == [(Level.WARN, "roles")]
    assert {finding.about for finding in findings} == {
        "postgres", "migration", "connections", "roles", "walls", "time-outs", "clock", "redis", "keys", "workers",
        "scheduler",
    }  # fmt: skip


# ---- connections ------------------------------------------------------------------------------------------


def test_the_connections_of_all_processes_are_added_up(patient: Patient, place: Place) -> None:
    steps.worker(place)
    steps.worker(place)

    finding = only(postgres.connections(replace(patient, apis=2, schedulers=3)))

    needed = 2 * WORKER_CONNECTIONS + 2 * API_CONNECTIONS + 3 * SCHEDULER_CONNECTIONS + postgres.SPARE
    assert f"{needed} needed (2 workers, 2 APIs, 3 schedulers" in finding.text


def test_too_few_connections_fail_with_what_would_do(patient: Patient) -> None:
    finding = only(postgres.connections(replace(patient, workers=1000)))

    assert finding.level is Level.FAIL
    assert "raise max_connections to" in finding.todo


def test_few_connections_left_are_a_warning(patient: Patient, place: Place) -> None:
    with place.database.service() as session:
        room = session.execute(postgres.CONNECTIONS).one()
    most = (
        room.most - room.reserved - API_CONNECTIONS - SCHEDULER_CONNECTIONS - postgres.SPARE
    ) // WORKER_CONNECTIONS

    assert only(postgres.connections(replace(patient, workers=most))).level is Level.WARN


# ---- the rest of Postgres ---------------------------------------------------------------------------------


@pytest.mark.parametrize("right", ["SUPERUSER", "BYPASSRLS", "LOGIN"])
def test_a_role_that_may_too_much_fails(patient: Patient, place: Place, right: str) -> None:
    change(place, f"ALTER ROLE quire_api {right}")
    try:
        (wrong,) = (finding for finding in postgres.roles(patient) if finding.level is Level.FAIL)
    finally:
        change(place, f"ALTER ROLE quire_api NO{right}")

    assert (wrong.text, wrong.todo) == (f"quire_api has {right}", f"ALTER ROLE quire_api NO{right}")


def test_a_table_without_its_wall_is_named(patient: Patient, place: Place) -> None:
    change(place, "ALTER TABLE lanes DISABLE ROW LEVEL SECURITY")
    try:
        finding = only(postgres.walls(patient))
    finally:
        change(place, "ALTER TABLE lanes ENABLE ROW LEVEL SECURITY")

    assert finding.level is Level.FAIL
    assert "lanes" in finding.text


def test_another_migration_fails(patient: Patient, place: Place) -> None:
    change(place, "UPDATE alembic_version SET version_num = '0001'")
    try:
        finding = only(postgres.migration(patient))
    finally:
        change(place, f"UPDATE alembic_version SET version_num = '{_head()}'")

    assert finding.level is Level.FAIL
    assert "at 0001" in finding.text


def _head() -> str:
    from alembic.script import ScriptDirectory

    from quire.settings import REPOSITORY

    return str(ScriptDirectory(str(REPOSITORY / "migrations")).get_current_head())


def test_time_outs_that_are_not_in_force_fail(
    patient: Patient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from quire import database as module

    monkeypatch.setattr(module, "TIMEOUTS", "-c statement_timeout=30s -c lock_timeout=0")
    bare = module.Database(settings.sqlalchemy_url, name="test", pool_size=1)
    try:
        finding = only(postgres.timeouts(replace(patient, database=bare)))
    finally:
        bare.close()

    assert (finding.level, finding.text) == (
        Level.FAIL, "not in force: lock_timeout, idle_in_transaction_session_timeout"
    )  # fmt: skip


@pytest.mark.parametrize(("apart", "level"), [(0.0, Level.OK), (5.0, Level.WARN), (-60.0, Level.FAIL)])
def test_clocks_that_are_apart_are_noticed(
    patient: Patient, monkeypatch: pytest.MonkeyPatch, apart: float, level: Level
) -> None:
    from time import time

    monkeypatch.setattr(postgres.time, "time", lambda: time() + apart)

    finding = only(postgres.clock(patient))

    assert finding.level is level
    assert apart == 0.0 or ("behind" in finding.text) == (apart > 0)


# ---- Redis, keys, processes -------------------------------------------------------------------------------


def test_a_redis_that_evicts_fails(patient: Patient) -> None:
    patient.redis.config_set("maxmemory-policy", "allkeys-lru")

    (finding,) = (each for each in others.redis(patient) if each.level is Level.FAIL)

    assert "allkeys-lru" in finding.text
    assert "noeviction" in finding.todo


def test_a_redis_that_is_away_is_one_finding_and_the_rest_is_looked_at(patient: Patient) -> None:
    with Redis(port=1, socket_connect_timeout=1) as nowhere:
        findings = list(examine(replace(patient, redis=nowhere)))

    (failed,) = (finding for finding in findings if finding.level is Level.FAIL)
    assert failed.about == "redis"
    assert failed.text.startswith("could not look: ")
    assert {"keys", "workers"} <= {finding.about for finding in findings}


def test_tenants_whose_master_key_is_missing_are_counted_and_one_is_named(
    patient: Patient, settings: Settings
) -> None:
    other = settings.model_copy(update={"master_keys": _secret(new_master_key("other"))})

    finding = only(others.keys(replace(patient, settings=other)))

    assert finding.level is Level.FAIL
    assert "1 of 1 tenants" in finding.text
    assert "(test)" in finding.text


def test_an_older_master_key_is_said_to_be_needed(patient: Patient, settings: Settings) -> None:
    ring = f"{new_master_key('new')},{testing.MASTER_KEYS}"
    newer = settings.model_copy(update={"master_keys": _secret(ring)})

    finding = only(others.keys(replace(patient, settings=newer)))

    assert finding.level is Level.OK
    assert "1 by an older master key" in finding.text


def test_all_pages_of_tenants_are_tried(patient: Patient, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(others, "PAGE", 2)
    for _ in range(4):
        steps.tenant(place)

    assert "all 5 tenants" in only(others.keys(patient)).text


def _secret(value: str) -> Any:
    from pydantic import SecretStr

    return SecretStr(value)


def test_a_model_without_a_worker_is_a_warning(patient: Patient) -> None:
    assert only(others.workers(patient)).level is Level.WARN


def test_a_model_for_music_says_what_its_workers_cannot_make(patient: Patient, place: Place) -> None:
    with place.database.service() as session:
        testing.add_model(session, "tunes", kind="music", renders=["abc", "midi", "svg"])

    finding = only(others.music(patient))

    assert (finding.level, finding.text) == (Level.WARN, "tunes makes no wav of a tune")
    with place.database.service() as session:
        testing.add_model(session, "tunes", kind="music", renders=["abc", "midi", "svg", "wav"])
    assert only(others.music(patient)).level is Level.OK


def test_a_scheduler_that_is_silent_is_a_warning(patient: Patient, place: Place) -> None:
    assert only(others.scheduler(patient)).level is Level.WARN
    forecasting.measure(place.database)
    assert only(others.scheduler(patient)).level is Level.OK

    change(place, "UPDATE forecasts SET measured_at = measured_at - interval '5 min'")

    assert only(others.scheduler(patient)).level is Level.WARN


def test_a_scheduler_leaves_its_sign_more_often_than_is_asked_for(settings: Settings, place: Place) -> None:
    (duty,) = (duty for duty in duties(settings, place.database) if duty.name == "forecast")

    assert duty.every < others.SILENCE


# ---- the command ------------------------------------------------------------------------------------------


def ready_file(settings: Settings, folder: Path) -> str:
    """What a running `quire up` leaves behind, with its key in its data directory."""
    (folder / "master_keys").write_text(testing.MASTER_KEYS + "\n")
    file = folder / "ready.json"
    facts = {
        "data": str(folder),
        "database_url": settings.database_url.get_secret_value(),
        "redis_url": settings.redis_url.get_secret_value(),
    }
    file.write_text(json.dumps(facts))
    return str(file)


@pytest.fixture
def no_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    import os

    for name in [name for name in os.environ if name.startswith("QUIRE_")]:
        monkeypatch.delenv(name)
    return monkeypatch


@pytest.mark.usefixtures("no_environment", "patient")
def test_the_command_prints_a_line_for_each_finding(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["--ready-file", ready_file(settings, tmp_path)])

    lines = capsys.readouterr().out.splitlines()
    assert code == 0
    assert {line.split()[0] for line in lines} == {"ok", "warn"}


@pytest.mark.usefixtures("no_environment", "patient")
def test_a_failure_is_code_1_and_json_if_asked(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["--ready-file", ready_file(settings, tmp_path), "--workers", "1000", "--json"])

    findings = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert code == 1
    assert [finding["about"] for finding in findings if finding["level"] == "fail"] == ["connections"]


@pytest.mark.usefixtures("no_environment")
@pytest.mark.parametrize("content", [None, "no JSON", "[]", "{}"])
def test_a_file_that_is_no_ready_file_is_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None
) -> None:
    file = tmp_path / "ready.json"
    if content is not None:
        file.write_text(content)

    assert main(["--ready-file", str(file)]) == 2
    assert capsys.readouterr().err.startswith("quire doctor: ")


def test_keys_that_were_given_by_hand_have_to_be_given_again(
    no_environment: pytest.MonkeyPatch, settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = ready_file(settings, tmp_path)
    (tmp_path / "master_keys").unlink()

    assert main(["--ready-file", file]) == 2
    assert "QUIRE_MASTER_KEYS" in capsys.readouterr().err
