"""Starts the system part by part, waits until it works, and stays until it is told to stop."""

import http.client
import json
import logging
import os
import secrets
import shlex
import shutil
import socket
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from quire import embedded
from quire.crypto import new_master_key
from quire.database import Database
from quire.embedded.secret_file import kept_secret, write_private
from quire.errors import ConfigurationError
from quire.local import services
from quire.settings import Settings
from quire.store import worker
from quire.supervisor import Child, ChildFailed, StopRequested, Supervisor

logger = logging.getLogger(__name__)

HOST = "127.0.0.1"
READY_SECONDS = 180.0  # a worker may have to read a large checkpoint
MIGRATE_SECONDS = 120.0
PORT_SECONDS = 3.0  # for a killed predecessor to let go of the port
LONG = 3600.0
INTERRUPTED = 130

LEASE = text("SELECT id FROM workers WHERE host = :host AND pid = :pid AND lease_until > clock_timestamp()")


def run(data: Path, *, port: int, workers: int, ready_file: Path | None, quiet: bool) -> int:
    """Runs the system until a signal stops it; returns the exit code.

    Raises:
        ConfigurationError: a setting, the port or the directory cannot be used.
        ChildFailed: a part did not start.

    """
    ready = False
    if ready_file is not None:
        ready_file.unlink(missing_ok=True)  # of a predecessor that was killed
    supervisor = Supervisor(data / "logs", terminal=None if quiet else sys.stderr)
    with ExitStack() as stack:
        stack.enter_context(supervisor.listening())
        stack.enter_context(supervisor)
        with suppress(StopRequested):
            listener = stack.enter_context(_listen(port, supervisor))
            url = f"http://{HOST}:{listener.getsockname()[1]}"
            environment = _environment(data, supervisor)
            _start_services(supervisor, environment, listener, workers)
            ready = True
            if ready_file is not None:
                stack.callback(ready_file.unlink, missing_ok=True)
                _tell_programs(ready_file, url, environment, data)
            if not quiet:
                _tell_people(url, data)
            while True:
                supervisor.pause(LONG)
    return 0 if ready else INTERRUPTED


def _listen(port: int, supervisor: Supervisor) -> socket.socket:
    deadline = time.monotonic() + PORT_SECONDS
    while True:
        try:
            return socket.create_server((HOST, port), backlog=1024)
        except OSError as error:
            if time.monotonic() > deadline:
                raise ConfigurationError(f"Port {port}: {error.strerror}. Choose another with --port.") from error
        supervisor.pause(0.1)


def _environment(data: Path, supervisor: Supervisor) -> dict[str, str]:
    """Ours, completed by what is not set in it: generated secrets, and the servers, which are started here."""
    environment = dict(os.environ)

    def complete(name: str, make: Callable[[], str]) -> None:
        if not environment.get(name):
            environment[name] = make()

    key_name = f"{datetime.now(UTC):%Y%m%d}"
    complete("QUIRE_MASTER_KEYS", lambda: kept_secret(data / "master_keys", lambda: new_master_key(key_name)))
    complete("QUIRE_ADMIN_TOKEN", lambda: kept_secret(data / "admin_token", secrets.token_urlsafe))
    complete("QUIRE_DATABASE_URL", lambda: _started(embedded.postgres(data / "postgres", supervisor=supervisor)))
    complete("QUIRE_REDIS_URL", lambda: _started(embedded.valkey(data / "valkey", supervisor=supervisor)))
    return environment


def _started(server: embedded.Server) -> str:
    logger.info("Starting %s …", server.name)
    server.start()
    return server.url


def _start_services(
    supervisor: Supervisor, environment: dict[str, str], listener: socket.socket, workers_each: int
) -> None:
    settings = Settings(
        database_url=environment["QUIRE_DATABASE_URL"],
        redis_url=environment["QUIRE_REDIS_URL"],
        master_keys=environment["QUIRE_MASTER_KEYS"],
        admin_token=environment["QUIRE_ADMIN_TOKEN"],
    )
    logger.info("Migrating the database …")
    supervisor.run(services.migrate(environment), seconds=MIGRATE_SECONDS)
    database = Database(settings.sqlalchemy_url, name="supervisor", pool_size=1, connect_timeout=2)
    workers = list(services.workers(settings, environment, workers_each))
    names = [child.name for child in workers]

    def expire_lease(name: str, pid: int) -> None:
        if name in names:
            with database.service() as session:
                worker.expire(session.connection(), host=socket.gethostname(), pid=pid)

    supervisor.on_exit = expire_lease
    children = [
        services.api(settings, environment, listener.fileno()),
        *workers,
        services.scheduler(settings, environment, after=len(workers)),
    ]
    logger.info("Starting %s …", ", ".join(child.name for child in children))
    for child in children:
        supervisor.start(child)
    _wait_until_ready(supervisor, children, listener, names, database)


def _wait_until_ready(
    supervisor: Supervisor, children: list[Child], listener: socket.socket, workers: list[str], database: Database
) -> None:
    waits: list[tuple[str, Callable[[], bool]]] = [
        ("api", lambda: _api_ready(listener.getsockname()[1])),
        *((name, lambda name=name: _has_lease(supervisor.pid(name), database)) for name in workers),
    ]
    deadline = time.monotonic() + READY_SECONDS
    for name, is_ready in waits:
        while not is_ready():
            for child in children:
                if supervisor.fails(child.name):
                    raise ChildFailed(f"{child.name} does not start:\n{supervisor.tail(child.name)}")
            if time.monotonic() > deadline:
                raise ChildFailed(f"{name} is not ready after {READY_SECONDS:g} s:\n{supervisor.tail(name)}")
            supervisor.pause(0.1)


def _api_ready(port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=2)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _has_lease(pid: int | None, database: Database) -> bool:
    with suppress(SQLAlchemyError), database.service() as session:
        return session.scalar(LEASE, {"host": socket.gethostname(), "pid": pid}) is not None
    return False


def _tell_programs(ready_file: Path, url: str, environment: dict[str, str], data: Path) -> None:
    facts = {
        "url": url,
        "admin_token": environment["QUIRE_ADMIN_TOKEN"],
        "pid": os.getpid(),
        "data": str(data),
        "database_url": environment["QUIRE_DATABASE_URL"],
        "redis_url": environment["QUIRE_REDIS_URL"],
    }
    write_private(ready_file, json.dumps(facts, indent=2) + "\n")


def _tell_people(url: str, data: Path) -> None:
    quire = "quire" if shutil.which("quire") else shlex.quote(str(Path(sys.executable).with_name("quire")))
    token = shlex.quote(str(data / "admin_token"))
    with suppress(OSError):  # nobody is there to read it
        print(  # noqa: T201 -- a command line prints
            f"""
Quire is ready: {url} (the API is described at {url}/docs)

In another terminal, make a tenant and its key:

    export QUIRE_URL={url} QUIRE_ADMIN_TOKEN="$(cat {token})"
    {quire} tenant create NAME
    {quire} key create NAME

Logs are in {data / "logs"}. Ctrl-C stops everything; the data stays in {data}.
""",
            flush=True,
        )
