"""The real servers of the wheels. As root, pytest's folders are closed to `nobody`: the data lies elsewhere."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from redis import AuthenticationError, Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from quire import embedded
from quire.embedded import server as server_module
from quire.errors import ConfigurationError
from quire.supervisor import Supervisor

MADE = "SELECT setting FROM pg_settings WHERE name = 'data_directory'"


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """A data directory; what lies elsewhere on its behalf is removed as well."""
    yield tmp_path / "data"
    for link in tmp_path.rglob("elsewhere"):
        shutil.rmtree(link.resolve(), ignore_errors=True)


def query(url: str, statement: str) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement)
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def wait_until(
    condition: Callable[[], object], seconds: float = 10.0, pause: Callable[[float], None] = time.sleep
) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        pause(0.01)


def answers(url: str) -> bool:
    try:
        return query(url, "SELECT 1") == 1
    except psycopg.OperationalError:
        return False


def test_postgres_keeps_its_data_and_its_password_over_a_restart(directory: Path) -> None:
    with embedded.postgres(directory) as server:
        query(server.url, "CREATE TABLE kept AS SELECT 42 AS answer")
        password = (directory / "password").read_text()

    with embedded.postgres(directory) as server:
        assert query(server.url, "SELECT answer FROM kept") == 42
    assert (directory / "password").read_text() == password


def test_postgres_comes_back_with_its_data_after_a_kill(directory: Path) -> None:
    with embedded.postgres(directory) as server:
        query(server.url, "CREATE TABLE kept AS SELECT 42 AS answer")
        assert server.pid
        os.kill(server.pid, signal.SIGKILL)

    with embedded.postgres(directory) as server:
        assert query(server.url, "SELECT answer FROM kept") == 42


def test_postgres_starts_beside_a_process_that_has_its_old_process_id(directory: Path) -> None:
    with embedded.postgres(directory) as server:
        data = Path(str(query(server.url, MADE)))
    (data / "postmaster.pid").write_text(f"{os.getpid()}\n{data}\n1\n5432\n\n127.0.0.1\n1 1\nready\n")

    with embedded.postgres(directory) as server:
        assert answers(server.url)


def test_postgres_is_a_durable_18_that_admits_only_the_password(directory: Path) -> None:
    with embedded.postgres(directory) as server:
        assert str(query(server.url, "SHOW server_version")).startswith("18")
        assert query(server.url, "SHOW fsync") == "on"
        assert query(server.url, "SHOW listen_addresses") == "127.0.0.1"
        assert query(server.url, "SHOW unix_socket_directories") == ""
        password = (directory / "password").read_text().strip()
        assert not answers(server.url.replace(password, "guess"))


def test_postgres_sorts_by_code_point_and_folds_case_in_unicode(directory: Path) -> None:
    with embedded.postgres(directory, durable=False) as server:
        assert (
            query(server.url, "SELECT string_agg(w, '' ORDER BY w) FROM unnest('{b,Z,a,É}'::text[]) w") == "ZabÉ"
        )
        assert query(server.url, "SELECT lower('ÉPOPÉE')") == "épopée"


def test_two_servers_at_once_take_different_ports(directory: Path) -> None:
    with (
        embedded.postgres(directory / "one", durable=False) as one,
        embedded.postgres(directory / "two", durable=False) as two,
    ):
        assert one.url.rpartition(":")[2] != two.url.rpartition(":")[2]
        assert answers(one.url)
        assert answers(two.url)


def test_a_server_whose_port_was_taken_meanwhile_takes_another(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as occupant:
        taken = occupant.getsockname()[1]
        free = server_module.free_port()
        ports = iter([taken, free])
        monkeypatch.setattr(server_module, "free_port", lambda: next(ports))

        with embedded.postgres(directory, durable=False) as server:
            assert server.url.endswith(f":{free}/quire")


def test_a_directory_in_use_is_refused(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "RELEASE_SECONDS", 0.1)
    with embedded.valkey(directory), pytest.raises(ConfigurationError, match="in use"):
        embedded.valkey(directory).start()


def test_secrets_are_for_the_owners_eyes(directory: Path) -> None:
    with embedded.postgres(directory / "postgres", durable=False), embedded.valkey(directory / "valkey") as valkey:
        command_line = subprocess.run(
            ["ps", "-o", "args=", "-p", str(valkey.pid)], capture_output=True, text=True, check=True
        ).stdout

    for path in ("postgres/password", "valkey/password", "valkey/valkey.conf"):
        assert (directory / path).stat().st_mode & 0o777 == 0o600, path
    for path in directory.rglob("*"):
        private = path.is_symlink() or path.name in {"postgres", "data"} or not path.stat().st_mode & 0o066
        assert private, path
    assert (directory / "valkey/password").read_text().strip() not in command_line


def test_valkey_keeps_its_data_over_a_restart_and_a_kill(directory: Path) -> None:
    with embedded.valkey(directory) as server, Redis.from_url(server.url) as client:
        client.set("kept", "first")
    with embedded.valkey(directory) as server, Redis.from_url(server.url) as client:
        client.set("kept", client.get("kept") + b" second")
        assert client.execute_command("WAITAOF", 1, 0, 5000)[0] == 1
        assert server.pid
        os.kill(server.pid, signal.SIGKILL)

    with embedded.valkey(directory) as server, Redis.from_url(server.url) as client:
        assert client.get("kept") == b"first second"


def test_valkey_never_evicts_and_wants_its_password(directory: Path) -> None:
    with embedded.valkey(directory) as server, Redis.from_url(server.url) as client:
        settings = client.config_get("maxmemory-policy", "appendonly", "appendfsync", "bind", "save")
        assert settings == {
            "maxmemory-policy": "noeviction",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "bind": "127.0.0.1",
            "save": "",
        }
        port = client.connection_pool.connection_kwargs["port"]
        with Redis(port=port, retry=Retry(NoBackoff(), 0)) as stranger, pytest.raises(AuthenticationError):
            stranger.ping()


def test_a_supervisor_brings_a_killed_server_back_at_the_same_address(directory: Path) -> None:
    with Supervisor(directory / "logs") as supervisor:
        server = embedded.postgres(directory, durable=False, supervisor=supervisor)
        server.start()
        url, first = server.url, server.pid
        assert first

        os.kill(first, signal.SIGKILL)
        wait_until(lambda: server.pid not in {None, first} and answers(url), pause=supervisor.pause)

        assert server.url == url
        server.stop()


def start_in_another_process(directory: Path) -> subprocess.Popen[bytes]:
    code = f"""
        import pathlib, time
        from quire import embedded
        with embedded.postgres(pathlib.Path({str(directory)!r})) as server:
            time.sleep(600)
    """
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stderr=subprocess.DEVNULL, start_new_session=True
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_start_interrupted_in_initdb_leaves_nobody_and_the_next_one_works(
    directory: Path, number: signal.Signals
) -> None:
    process = start_in_another_process(directory)
    log = directory / "logs/initdb.log"
    wait_until(lambda: log.exists() and "creating configuration files" in log.read_text())
    process.send_signal(number)
    process.wait(timeout=10)

    with embedded.postgres(directory, durable=False) as server:  # the lock is its proof that nobody was left
        assert answers(server.url)


def test_a_killed_owner_leaves_no_server_and_the_next_start_finds_the_data(directory: Path) -> None:
    process = start_in_another_process(directory)
    log = directory / "logs/postgres.log"
    wait_until(lambda: log.exists() and "ready to accept connections" in log.read_text())
    process.kill()
    process.wait(timeout=10)

    wait_until(lambda: "database system is shut down" in log.read_text() or "immediate" in log.read_text())
    with embedded.postgres(directory) as server:
        assert answers(server.url)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs Postgres as somebody else")
def test_as_root_postgres_runs_as_the_owner_of_its_data(directory: Path) -> None:
    with embedded.postgres(directory, durable=False) as server:
        owner = subprocess.run(
            ["ps", "-o", "user=", "-p", str(server.pid)], capture_output=True, text=True, check=True
        ).stdout.strip()
        assert owner != "root"
        assert Path(str(query(server.url, MADE))).owner() == owner


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user's server reaches what the user reaches")
def test_as_root_closed_folders_are_left_as_they_are(directory: Path) -> None:
    directory.mkdir(mode=0o700)
    with embedded.postgres(directory, durable=False) as server:
        assert answers(server.url)
        elsewhere = (directory / "elsewhere").resolve()
        assert elsewhere.is_relative_to("/var/lib/quire")

    assert directory.stat().st_mode & 0o777 == 0o700
    assert not elsewhere.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user's data is in the directory itself")
def test_as_root_what_a_removed_temporary_folder_left_is_removed_by_the_next_start(directory: Path) -> None:
    with embedded.postgres(directory / "first"):
        left = (directory / "first/elsewhere").resolve()
    shutil.rmtree(directory / "first")

    with embedded.postgres(directory / "second", durable=False) as server:
        assert answers(server.url)
        assert not left.exists()
