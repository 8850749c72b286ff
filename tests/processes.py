"""The services of one checkout as real processes, on servers that are there."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from quire.embedded.server import free_port
from quire.settings import REPOSITORY
from tests.waiting import until

MODEL = "quire-verse"
Process = subprocess.Popen[bytes]


@dataclass(frozen=True)
class Services:
    url: str  # of the API
    processes: Mapping[str, Process]  # api, worker, scheduler
    logs: Mapping[str, Path]

    def log(self, service: str) -> str:
        return self.logs[service].read_text(errors="replace")


def environment(database_url: str, redis_url: str, **settings: str) -> dict[str, str]:
    """This process's environment with no setting of Quire's but these, for small and quick services."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("QUIRE_")}
    return kept | {
        "QUIRE_DATABASE_URL": database_url,
        "QUIRE_REDIS_URL": redis_url,
        "QUIRE_MODELS": f"{MODEL}={REPOSITORY / 'checkpoints' / MODEL}",
        "QUIRE_SLOTS": "2",
        "QUIRE_THREADS": "1",
        "QUIRE_FLUSH_SECONDS": "0.2",
    } | settings  # fmt: skip


@contextmanager
def services(
    variables: Mapping[str, str], logs: Path, *, name: str = "quire", checkout: Path = REPOSITORY,
    worker_class: str = "api.server.Worker",
) -> Iterator[Services]:  # fmt: skip
    """Run an API, a worker and a scheduler; they are stopped in the end, whatever they are doing."""
    port = free_port()
    commands = {
        "api": [
            "gunicorn", "api.wsgi:app", f"--bind=127.0.0.1:{port}", f"--worker-class={worker_class}",
            "--threads=16", "--no-control-socket", "--graceful-timeout=2",
        ],
        "worker": [
            "celery", "--app=worker.app:app", "--quiet", "worker", "--pool=threads", "--concurrency=6",
            f"--hostname={name}@%h", f"--queues=quire.{MODEL}", "--without-gossip", "--without-mingle",
            "--without-heartbeat", f"--loglevel={variables.get('QUIRE_LOG_LEVEL', 'INFO')}",
        ],
        "scheduler": ["scheduler.main"],
    }  # fmt: skip
    with ExitStack() as stack:
        paths = {service: logs / f"{name}-{service}.log" for service in commands}
        processes = {}
        for service, command in commands.items():
            sink = stack.enter_context(paths[service].open("wb"))
            processes[service] = subprocess.Popen(
                [sys.executable, "-m", *command], cwd=checkout, stdout=sink, stderr=sink,
                env={**variables, "PYTHONPATH": str(checkout), "PYTHONUNBUFFERED": "1"},
            )  # fmt: skip
            stack.callback(stop, processes[service])
        started = Services(f"http://127.0.0.1:{port}", processes, paths)
        until(lambda: answers(started.url), seconds=60)
        yield started


def stop(process: Process) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def answers(url: str) -> bool:
    with suppress(httpx.TransportError):
        return httpx.get(f"{url}/healthz").status_code == 200
    return False
