"""`python -m bench.spine`: jobs of several tenants through the whole system, beside the naive Celery worker.

Both get the same prompts, sampling and number of tokens, on the same checkpoint, one after the other, twice.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench.report import Figure, write
from bench.system import running
from quire import embedded
from quire.forms import compose
from quire.settings import REPOSITORY
from quire_client import Quire

THEMES = ("the sea", "winter", "a lost friend", "the moon", "spring rain", "an old house", "war", "the harvest")
SAMPLING: dict[str, Any] = {"temperature": 0.8, "top_k": 40}
MODEL = "checkpoints/quire-verse"
CLIENT_THREADS = 10


def requests(count: int, max_tokens: int) -> list[dict[str, Any]]:
    """Return jobs that differ in theme, seed and length, the lengths evenly from half of the most."""
    return [
        {
            "form": "poem",
            "theme": THEMES[index % len(THEMES)],
            "seed": index,
            "max_tokens": max_tokens // 2 + index % (max_tokens // 2 + 1),
        }
        for index in range(count)
    ]


def through_quire(clients: list[Quire], jobs: list[dict[str, Any]]) -> dict[str, float]:
    """Submit all, wait for all; tokens are those billed."""
    begun = time.monotonic()
    with ThreadPoolExecutor(CLIENT_THREADS) as pool:
        turn = [clients[index % len(clients)] for index in range(len(jobs))]
        handed = list(
            pool.map(lambda pair: pair[0].jobs.submit(**pair[1], **SAMPLING), zip(turn, jobs, strict=True))
        )
        submitted = time.monotonic() - begun
        ended = list(
            pool.map(lambda pair: pair[0].jobs.wait(pair[1].id, timeout=1800), zip(turn, handed, strict=True))
        )
    seconds = time.monotonic() - begun
    waits = sorted((job.finished_at - job.created_at).total_seconds() for job in ended)
    return {
        "seconds": seconds,
        "submit_seconds": submitted,
        "succeeded": sum(job.state == "succeeded" for job in ended),
        "tokens": sum(job.usage.completion_tokens for job in ended),
        "p50_seconds": statistics.median(waits),
        "max_seconds": waits[-1],
    }


def one_by_one(jobs: list[dict[str, Any]]) -> dict[str, float]:
    """Send the same requests to the naive worker. Its start and model load are not counted."""
    from bench.naive import generate  # noqa: PLC0415 - it reads its environment when imported

    options = ["worker", "--pool", "solo", "--loglevel", "ERROR"]
    worker = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "bench.naive", "-q", *options], cwd=REPOSITORY
    )
    try:
        generate.delay("The", 0, {"max_new_tokens": 8}).get(timeout=120)
        begun = time.monotonic()
        waiting = [
            generate.delay(
                compose("poem", title=None, theme=job["theme"], style=None),
                job["seed"],
                SAMPLING | {"max_new_tokens": job["max_tokens"]},
            )
            for job in jobs
        ]
        pieces = [result.get(timeout=1800) for result in waiting]
        seconds = time.monotonic() - begun
    finally:
        worker.terminate()
        worker.wait(60)
    return {"seconds": seconds, "tokens": sum(piece["tokens"] for piece in pieces)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--tenants", type=int, default=5)
    parser.add_argument("--max-tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    jobs = requests(options.jobs, options.max_tokens)
    ours, theirs = [], []
    with (
        tempfile.TemporaryDirectory(prefix="quire-bench-") as folder,
        embedded.valkey(Path(folder) / "valkey", durable=False) as valkey,
    ):
        os.environ |= {"NAIVE_REDIS_URL": valkey.url, "NAIVE_MODEL": str(REPOSITORY / MODEL)}
        for number in range(options.rounds):
            with running(Path(folder) / f"data{number}") as system:
                clients = [system.client(f"tenant-{index}") for index in range(options.tenants)]
                through_quire(clients, jobs[:8])  # warm
                ours.append(through_quire(clients, jobs))
            theirs.append(one_by_one(jobs))
            print(json.dumps({"quire": ours[-1], "naive": theirs[-1]}), flush=True)
    quire_rate = statistics.median(run["tokens"] / run["seconds"] for run in ours)
    naive_rate = statistics.median(run["tokens"] / run["seconds"] for run in theirs)
    figures = [
        Figure(
            "spine_tokens_per_second",
            quire_rate,
            "tokens/s",
            "celery + transformers.generate",
            quire_rate / naive_rate,
        ),
        Figure("naive_tokens_per_second", naive_rate, "tokens/s"),
        Figure("spine_succeeded", min(run["succeeded"] for run in ours), f"of {options.jobs} jobs"),
        Figure("spine_submit", options.jobs / statistics.median(run["submit_seconds"] for run in ours), "jobs/s"),
        Figure("spine_wait_p50", statistics.median(run["p50_seconds"] for run in ours), "s"),
        Figure("spine_wait_max", max(run["max_seconds"] for run in ours), "s"),
    ]
    write("spine", figures)


if __name__ == "__main__":
    main()
