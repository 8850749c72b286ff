"""`quire up` where it refuses, and what it decides. That it works is for the acceptance tests."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from quire import testing
from quire.local import services
from quire.local.lock import only_one
from quire.settings import REPOSITORY, Settings


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """A data directory; what root keeps elsewhere on its behalf is removed as well."""
    yield tmp_path / "data"
    for link in tmp_path.rglob("elsewhere"):
        shutil.rmtree(link.resolve(), ignore_errors=True)


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in [name for name in os.environ if name.startswith("QUIRE_")]:
        monkeypatch.delenv(name)
    return Settings(
        database_url="postgresql://nowhere",
        redis_url="redis://nowhere",
        master_keys=testing.MASTER_KEYS,
        models="one=1,two=2",
    )


def up(data: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "quire.local", "--data", str(data), "--port", "0", *options]
    return subprocess.run(
        command,
        cwd=REPOSITORY,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_a_second_system_on_the_same_data_is_refused_and_told_who_is_first(data: Path) -> None:
    with only_one(data):
        second = up(data)

    assert second.returncode == 3
    assert second.stderr == f"quire up: Process {os.getpid()} already runs on {data}.\n"


def test_a_port_in_use_is_named(data: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as occupant:
        port = occupant.getsockname()[1]

        refused = up(data, "--port", str(port))

    assert refused.returncode == 1
    assert f"Port {port}: Address already in use" in refused.stderr
    assert not (data / "postgres").exists()


@pytest.mark.acceptance
def test_a_model_that_cannot_be_loaded_ends_the_start_with_the_workers_own_words(data: Path) -> None:
    ready = data.with_suffix(".ready")

    refused = up(data, "--quiet", "--ready-file", str(ready), QUIRE_MODELS=f"ghost={data / 'no-such-folder'}")

    assert refused.returncode == 1
    assert "worker-1 does not start" in refused.stderr
    assert "no-such-folder" in refused.stderr
    assert not ready.exists()


def test_each_model_gets_its_workers_with_a_queue_and_a_share_of_the_cores(settings: Settings) -> None:
    workers = list(services.workers(settings, {}, each=2))

    assert [worker.name for worker in workers] == ["worker-1", "worker-2", "worker-3", "worker-4"]
    assert [worker.env["QUIRE_WORKER_MODEL"] for worker in workers if worker.env] == ["one", "one", "two", "two"]
    assert "--queues=quire.two" in workers[3].command
    assert workers[0].env
    assert int(workers[0].env["QUIRE_THREADS"]) == max(1, (os.cpu_count() or 1) // 4)


def test_workers_beside_everything_else_sleep_at_once_unless_told_otherwise(settings: Settings) -> None:
    (default, *_), (told, *_) = (
        list(services.workers(settings, environment, each=1)) for environment in ({}, {"QUIRE_SPIN": "500"})
    )

    assert default.env is not None
    assert told.env is not None
    assert (default.env["QUIRE_SPIN"], told.env["QUIRE_SPIN"]) == ("0", "500")


def test_the_number_of_threads_that_the_user_chose_stands(settings: Settings) -> None:
    workers = list(services.workers(settings, {"QUIRE_THREADS": "3"}, each=2))

    assert {worker.env["QUIRE_THREADS"] for worker in workers if worker.env} == {"3"}


def test_several_devices_are_dealt_out_to_the_workers_in_turn(settings: Settings) -> None:
    settings = settings.model_copy(update={"device": "cuda:0, cuda:1"})

    workers = list(services.workers(settings, {"QUIRE_DEVICE": "cuda:0, cuda:1"}, each=2))

    assert [worker.env["QUIRE_DEVICE"] for worker in workers if worker.env] == ["cuda:0", "cuda:1"] * 2


def test_processes_on_one_machine_serve_their_metrics_on_ports_of_their_own(settings: Settings) -> None:
    settings = settings.model_copy(update={"metrics_port": 9100})

    children = [*services.workers(settings, {}, each=1), services.scheduler(settings, {}, after=2)]

    assert [child.env["QUIRE_METRICS_PORT"] for child in children if child.env] == ["9100", "9101", "9102"]


def test_the_api_has_more_threads_than_requests_may_wait(settings: Settings) -> None:
    child = services.api(settings, {}, listener=3)

    (threads,) = (word for word in child.command if word.startswith("--threads="))
    assert int(threads.removeprefix("--threads=")) > settings.max_waiters


def test_the_api_takes_connections_beside_those_of_its_waiters(settings: Settings) -> None:
    settings = settings.model_copy(update={"max_waiters": 2000})

    child = services.api(settings, {}, listener=3)

    (connections,) = (word for word in child.command if word.startswith("--worker-connections="))
    assert int(connections.removeprefix("--worker-connections=")) > settings.max_waiters
