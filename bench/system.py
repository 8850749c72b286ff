"""The whole system on this machine, for as long as a benchmark or an acceptance test needs it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from quire_client import Quire

READY_SECONDS = 180.0
STOP_SECONDS = 60.0


@dataclass(frozen=True)
class System:
    """A running system, as `quire up` describes it."""

    url: str
    admin_token: str
    data: Path
    supervisor: "subprocess.Popen[bytes]"
    database_url: str
    redis_url: str

    def client(self, tenant: str) -> Quire:
        """Return a client for a new tenant of that name."""
        with Quire(self.url, admin_token=self.admin_token) as operator:
            made = operator.tenants.create(tenant)
            key = operator.keys.create(made.id)
        return Quire(self.url, api_key=key.secret)

    def worker_pids(self, model: str | None = None) -> list[int]:
        """Return the processes of live workers, of one model if named."""
        alive = """
            SELECT pid FROM workers
            WHERE lease_until > clock_timestamp() AND model = coalesce(%(model)s, model)
        """
        with psycopg.connect(self.database_url) as connection:
            return [pid for (pid,) in connection.execute(alive, {"model": model}).fetchall()]


@contextmanager
def running(data: Path, *options: str, **environment: str) -> Iterator[System]:
    """Start everything on a data directory, and stop it in the end."""
    ready = data.with_suffix(".ready.json")
    output = data.with_suffix(".out")
    with output.open("wb") as sink:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "quire.local", "--data", data, "--port", "0", "--ready-file", ready, *options],
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=os.environ | environment,
        )
    try:
        until = time.monotonic() + READY_SECONDS
        while not ready.exists():
            if supervisor.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"the system did not start:\n{output.read_text()}")
            time.sleep(0.05)
        told = json.loads(ready.read_text())
        yield System(told["url"], told["admin_token"], data, supervisor, told["database_url"], told["redis_url"])
    finally:
        supervisor.terminate()
        supervisor.wait(STOP_SECONDS)
