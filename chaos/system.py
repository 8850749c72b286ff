"""The real system of a chaos run: two of every service, each a process of its own that may be hit."""

import http.client
import os
import secrets
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

import psycopg
from redis import Redis, RedisError
from sqlalchemy.engine import make_url

from chaos import audit, counters
from chaos.clients import Account
from chaos.processes import Processes
from chaos.proxy import HOST, Proxy
from chaos.valkey import FragileValkey
from quire import embedded
from quire.crypto import new_master_key
from quire.embedded.server import Server
from quire.ids import JOB, show
from quire.local import services
from quire.settings import REPOSITORY, Settings
from quire.supervisor import Child
from quire_client import Quire

MODEL = "chaos"
READY_SECONDS = 180.0
APIS, WORKERS, SCHEDULERS = ("api-1", "api-2"), ("worker-1", "worker-2"), ("scheduler-1", "scheduler-2")
# The second of each kind talks to both servers through the proxies, and its clock is wrong by so many seconds.
BEHIND_PROXY = {"api-2": -90.0, "worker-2": 120.0, "scheduler-2": -120.0}
CLOCK = REPOSITORY / "chaos/clock"

RUNNING = """
SELECT jobs.id::text FROM jobs JOIN workers ON workers.id = jobs.worker_id
WHERE jobs.state = 'running' AND workers.pid = %s
"""
LIVE = "SELECT count(*) FROM jobs WHERE state IN ('queued', 'running')"
ENDED = "SELECT 1 FROM jobs WHERE id = %s::uuid AND finished_at IS NOT NULL"
ALIVE = "SELECT pid FROM workers WHERE lease_until > clock_timestamp() AND NOT draining"


@dataclass(frozen=True)
class Choices:
    """How a run's system is set up. Times in seconds."""

    model: str  # folder of the checkpoint
    lease: float = 10.0
    heartbeat: float = 1.0
    slots: int = 64


class System:
    """Everything by name: `processes` to hit them, `postgres_proxy` and `valkey_proxy` to cut them off.

    Made by `running`. To be used from the thread that made it.
    """

    def __init__(self, folder: Path, choices: Choices, stack: ExitStack) -> None:
        self.choices = choices
        self.folder = folder
        self._servers: list[Server] = []
        stack.callback(self._let_go_of_servers)  # after all processes have ended, the servers' among them
        self.postgres_proxy = stack.enter_context(Proxy())
        self.valkey_proxy = stack.enter_context(Proxy())
        self.processes = stack.enter_context(Processes(folder / "logs"))
        self.counters = folder / "counters"
        self.counters.mkdir()
        self.expires = True  # whether the lease of a worker that is seen to exit is ended
        self.admin_token = secrets.token_urlsafe()
        self.master_keys = new_master_key("chaos")
        self._stack = stack
        self._valkey = FragileValkey(folder / "valkey", durable=True)

    def start(self) -> None:
        """Return when all of it works."""
        postgres = embedded.postgres(self.folder / "postgres", supervisor=self.processes)
        valkey = Server(self._valkey, self.processes)
        for server in (postgres, valkey):
            self._servers.append(server)
            server.start()
        self.database_url, self.redis_url = postgres.url, valkey.url
        self.postgres_proxy.target, self.valkey_proxy.target = _port(postgres.url), _port(valkey.url)
        listener = self._stack.enter_context(socket.create_server((HOST, 0), backlog=1024))
        self.port = int(listener.getsockname()[1])
        self.url = f"http://{HOST}:{self.port}"
        self.processes.run(services.migrate(self._environment("migrate")), seconds=READY_SECONDS)
        audit.install(self.database_url)
        self.processes.on_exit = self._expire
        for child in self._children(listener.fileno()):
            self.processes.start(child)
        self.until(self.whole, READY_SECONDS, "the system to work")

    def _let_go_of_servers(self) -> None:
        for server in self._servers:
            server.stop()

    def _children(self, listener: int) -> Iterator[Child]:
        settings = Settings(
            database_url=self.database_url,
            redis_url=self.redis_url,
            master_keys=self.master_keys,
            models={MODEL: self.choices.model},
            slots=self.choices.slots,
        )
        for name in APIS:
            yield replace(services.api(settings, self._environment(name), listener), name=name)
        for name in WORKERS:
            url = audit.add_login(self.database_url, name)
            environment = self._environment(name, url) | {"QUIRE_THREADS": "1"}
            (child,) = services.workers(settings, environment, each=1)
            command = [word.replace("worker.app:app", "chaos.worker_app:app") for word in child.command]
            yield replace(child, name=name, command=[word.replace("=worker-1@", f"={name}@") for word in command])
        for name in SCHEDULERS:
            yield replace(services.scheduler(settings, self._environment(name), after=0), name=name)

    def _environment(self, name: str, database_url: str | None = None) -> dict[str, str]:
        database_url, redis_url = database_url or self.database_url, self.redis_url
        path = [str(REPOSITORY)]
        clock = {}
        if name in BEHIND_PROXY:
            database_url = _through(database_url, self.postgres_proxy.port)
            redis_url = _through(redis_url, self.valkey_proxy.port)
            path.insert(0, str(CLOCK))
            clock = {"CHAOS_CLOCK_SECONDS": str(BEHIND_PROXY[name])}
        ours = {key: value for key, value in os.environ.items() if not key.startswith("QUIRE_")}
        return ours | clock | {
            "PYTHONPATH": os.pathsep.join(path),
            "QUIRE_DATABASE_URL": database_url,
            "QUIRE_REDIS_URL": redis_url,
            "QUIRE_MASTER_KEYS": self.master_keys,
            "QUIRE_ADMIN_TOKEN": self.admin_token,
            "QUIRE_MODELS": f"{MODEL}={self.choices.model}",
            "QUIRE_SLOTS": str(self.choices.slots),
            "QUIRE_LEASE_SECONDS": str(self.choices.lease),
            "QUIRE_HEARTBEAT_SECONDS": str(self.choices.heartbeat),
            counters.VARIABLE: str(self.counters),
        }  # fmt: skip

    def _expire(self, name: str, pid: int) -> None:
        """As `quire up` does when it sees a worker exit."""
        if name in WORKERS and self.expires:
            with psycopg.connect(self.database_url, connect_timeout=2) as connection:
                connection.execute("DELETE FROM workers WHERE host = %s AND pid = %s", [socket.gethostname(), pid])

    # ---- looking ---------------------------------------------------------------------------------------------

    def ask(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        """Run one statement; nothing, while Postgres is away."""
        with (
            suppress(psycopg.OperationalError),
            psycopg.connect(self.database_url, connect_timeout=2, autocommit=True) as connection,
        ):
            cursor = connection.execute(statement.encode(), values or None)
            return cursor.fetchall() if cursor.description else []
        return []

    def alive(self) -> set[str]:
        """Return the workers that hold a lease."""
        pids = {row[0] for row in self.ask(ALIVE)}
        return {name for name in WORKERS if self.processes.pid(name) in pids}

    def running_on(self, worker: str) -> list[str]:
        """Return the ids of the jobs that run on a worker."""
        return [show(JOB, UUID(str(row[0]))) for row in self.ask(RUNNING, self.processes.pid(worker) or 0)]

    def has_ended(self, job: str) -> bool:
        return bool(self.ask(ENDED, job.removeprefix("job_")))

    def live(self) -> int:
        """Return how many jobs have not ended; -1 while Postgres is away."""
        rows = self.ask(LIVE)
        return int(str(rows[0][0])) if rows else -1

    def answers(self) -> bool:
        """Whether an API process says that it is ready."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=2)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def valkey_answers(self) -> bool:
        try:
            with self.valkey() as client:
                return bool(client.ping())
        except RedisError:
            return False

    def until(self, condition: Callable[[], object], seconds: float, what: str) -> float:
        """Look after the processes until a condition holds, which is looked at some times a second."""

        def seldom() -> object:
            self.processes.pause(0.05)
            return condition()

        return self.processes.until(seldom, seconds, what)

    def whole(self) -> bool:
        """Whether everything runs and works."""
        running = all(self.processes.pid(name) for name in (*APIS, *SCHEDULERS, "postgres", "valkey"))
        return running and len(self.alive()) == len(WORKERS) and self.answers()

    def restore(self) -> None:
        """Bring up whatever is down, and wait until all of it works."""
        for name in ("postgres", "valkey", *APIS, *WORKERS, *SCHEDULERS):
            self.processes.bring_up(name)
        self.until(self.whole, READY_SECONDS, "the system to be whole again")

    # ---- doing -----------------------------------------------------------------------------------------------

    def add_tenant(self, name: str) -> Account:
        with Quire(self.url, admin_token=self.admin_token) as operator:
            made = operator.tenants.create(name)
            return Account(name, operator.keys.create(made.id).secret or "")

    def valkey(self) -> Redis:
        """Return a client of it, past the proxy."""
        return Redis.from_url(self.redis_url, socket_timeout=5)

    def forget_valkey(self) -> None:
        """Remove what Valkey keeps; it must be down."""
        self._valkey.forget()

    def drain(self, worker: str) -> float:
        """Stop a worker as an operator does; returns seconds until its process has ended. It stays down."""
        begun = time.monotonic()
        self.processes.put_down(worker, signal.SIGTERM)
        return time.monotonic() - begun


@contextmanager
def running(folder: Path, choices: Choices) -> Iterator[System]:
    """Start everything in an empty folder, and stop it in the end."""
    folder.mkdir(mode=0o711, parents=True, exist_ok=True)
    with ExitStack() as stack:
        system = System(folder, choices, stack)
        system.start()
        yield system


def _port(url: str) -> int:
    port = make_url(url).port
    if port is None:
        raise ValueError(f"no port in {url}")
    return port


def _through(url: str, port: int) -> str:
    """Return the same address behind a proxy's port."""
    return url.replace(f":{_port(url)}/", f":{port}/")
