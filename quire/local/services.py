"""How each service is run: its command line and what its environment adds."""

import os
import sys
from collections.abc import Iterator, Mapping
from signal import Signals

from quire.settings import REPOSITORY, Settings
from quire.supervisor import Child

SPARE_THREADS = 32  # of the API, beside those that may be waiting
SPARE_CONNECTIONS = 1000  # of the API, beside its threads: open and idle, kept for the next request
SPARE_TASKS = 4  # of a worker, beside its slots
API_GRACE = 5  # seconds for requests in progress
API_STAGE, WORKER_STAGE, SCHEDULER_STAGE = 2, 3, 4  # the servers are 0 and 1

Environment = Mapping[str, str]


def migrate(environment: Environment) -> Child:
    return _child("migrate", "alembic", "upgrade", "head", environment=environment)


def api(settings: Settings, environment: Environment, listener: int) -> Child:
    """The API on a listening socket, which outlives its restarts: requests wait rather than being refused."""
    threads = settings.max_waiters + SPARE_THREADS
    return _child(
        "api",
        "gunicorn",
        "api.wsgi:app",
        f"--bind=fd://{listener}",
        "--worker-class=api.server.Worker",
        "--workers=1",
        f"--threads={threads}",
        f"--worker-connections={threads + SPARE_CONNECTIONS}",
        f"--graceful-timeout={API_GRACE}",
        "--no-control-socket",
        environment=environment,
        inherit=(listener,),
        stage=API_STAGE,
        grace=API_GRACE + 2,
    )


def workers(settings: Settings, environment: Environment, each: int) -> Iterator[Child]:
    """`each` workers for each model; several devices are dealt out to them in turn."""
    models = [model for model in settings.models for _ in range(each)]
    for number, model in enumerate(models, start=1):
        yield _child(
            f"worker-{number}",
            "celery",
            "--app=worker.app:app",
            "--no-color",
            "--quiet",  # no banner
            "worker",
            f"--hostname=worker-{number}@%h",
            "--pool=threads",
            f"--concurrency={settings.slots + SPARE_TASKS}",
            f"--queues=quire.{model}",
            "--without-gossip",
            "--without-mingle",
            "--without-heartbeat",
            "--loglevel=INFO",
            environment={
                **_share(settings, number - 1, len(models), environment),
                **_metrics_port(settings, number - 1),
                "QUIRE_WORKER_MODEL": model,
            },
            stage=WORKER_STAGE,
            grace=settings.drain_seconds + 10,
        )


def scheduler(settings: Settings, environment: Environment, *, after: int) -> Child:
    """The scheduler; `after` workers have taken the first metrics ports."""
    environment = {**environment, **_metrics_port(settings, after)}
    return _child("scheduler", "scheduler.main", environment=environment, stage=SCHEDULER_STAGE)


def _metrics_port(settings: Settings, number: int) -> Environment:
    """On one machine each process needs its own."""
    return {"QUIRE_METRICS_PORT": str(settings.metrics_port + number)} if settings.metrics_port else {}


def _share(settings: Settings, number: int, workers_here: int, environment: Environment) -> Environment:
    """What one of several workers gets of the machine: its device in turn, its part of the cores."""
    devices = settings.device.split(",")
    share = {"QUIRE_DEVICE": devices[number % len(devices)].strip()}
    if workers_here > 1 and "QUIRE_THREADS" not in environment:
        share["QUIRE_THREADS"] = str(max(1, (os.cpu_count() or 1) // workers_here))
    if "QUIRE_SPIN" not in environment:
        share["QUIRE_SPIN"] = "0"  # everything else runs on these cores: see docs/benchmarks.md
    return {**environment, **share}


def _child(
    name: str,
    module: str,
    *arguments: str,
    environment: Environment,
    inherit: tuple[int, ...] = (),
    stage: int = 0,
    grace: float = 10.0,
) -> Child:
    return Child(
        name,
        [sys.executable, "-m", module, *arguments],
        env={"PYTHONUNBUFFERED": "1", **environment},
        cwd=REPOSITORY,
        inherit=inherit,
        stage=stage,
        grace=grace,
        orphan_signal=Signals.SIGKILL,  # nothing they hold is lost: Postgres is the truth
        echo=True,
    )
