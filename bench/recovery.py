"""`python -m bench.recovery`: how long a job is without a worker when its worker is killed.

Measured for the only worker (its restart, with the model's load, is part of it) and beside a second one.
"""

import argparse
import os
import signal
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg

from bench.report import Figure, write
from bench.system import System, running
from quire_client import Quire

LONG: dict[str, Any] = {
    "prompt": "And all the night",
    "max_tokens": 480,
    "temperature": 0.8,
    "top_k": 40,
    "min_tokens": 480,
}
PATIENCE = 120.0


def recover(system: System, client: Quire) -> dict[str, float]:
    """Kill the worker under a job that has written something; returns seconds until it writes again, and ends."""
    submitted = client.jobs.submit(**LONG)
    job = next(job for job in client.jobs.watch(submitted.id) if job.progress.tokens >= 20)
    written, victim = job.progress.tokens, _worker_of(system, job.id)
    killed = time.monotonic()
    os.kill(victim, signal.SIGKILL)
    again = 0.0
    for job in client.jobs.watch(submitted.id):
        if not again and job.progress.tokens > written and job.attempts == 1:
            again = time.monotonic() - killed
    if job.state != "succeeded":
        raise RuntimeError(f"the job ended as {job.state}: {job.error}")
    return {"writes_again": again, "succeeds": time.monotonic() - killed}


def _worker_of(system: System, job_id: str) -> int:
    with psycopg.connect(system.database_url) as connection:
        row = connection.execute(
            "SELECT workers.pid FROM jobs JOIN workers ON workers.id = jobs.worker_id WHERE jobs.id = %s",
            [job_id.removeprefix("job_")],
        ).fetchone()
    if row is None:
        raise RuntimeError("the job has no worker")
    return int(row[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    figures = []
    with tempfile.TemporaryDirectory(prefix="quire-bench-") as folder:
        for workers, name in ((1, "only_worker"), (2, "second_worker")):
            with (
                running(Path(folder) / name, "--workers", str(workers)) as system,
                system.client("bench") as client,
            ):
                runs = []
                for _ in range(options.rounds):
                    until = time.monotonic() + PATIENCE
                    while len(system.worker_pids()) < workers and time.monotonic() < until:
                        time.sleep(0.1)
                    runs.append(recover(system, client))
            for what in ("writes_again", "succeeds"):
                times = [run[what] for run in runs]
                figures += [
                    Figure(f"recovery_{name}_{what}_p50", statistics.median(times), "s"),
                    Figure(f"recovery_{name}_{what}_max", max(times), "s"),
                ]
    write("recovery", figures)


if __name__ == "__main__":
    main()
