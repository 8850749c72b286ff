"""What a user is promised, on the whole system as `quire up` starts it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from redis import Redis

from bench.system import System, running
from quire_client import Job, Quire

pytestmark = pytest.mark.acceptance

# The shipped model may end any job before it can be disturbed. This one has 100 MB of weights to read for each of
# 900 tokens, which takes seconds on any machine; min_tokens keeps the piece from ending early.
SLOW = "slow"
SHAPE = ("--layers", "12", "--width", "384", "--vocabulary", "4096")
LONG = {
    "prompt": "And all the night", "model": SLOW, "seed": 11, "max_tokens": 900, "min_tokens": 900, "top_k": 40,
}  # fmt: skip


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("system")
    slow = folder / SLOW
    subprocess.run([sys.executable, "-m", "bench.engine.checkpoint", slow, *SHAPE], check=True)
    models = f"quire-verse=checkpoints/quire-verse,{SLOW}={slow}"
    with running(folder / "data", QUIRE_MODELS=models, QUIRE_FLUSH_SECONDS="0.1") as system:
        yield system


@pytest.fixture
def client(system: System, request: pytest.FixtureRequest) -> Iterator[Quire]:
    with system.client(request.node.name) as client:
        yield client


def watched_until(client: Quire, job: Job, tokens: int) -> Job:
    """Follow a job until it has committed so many tokens."""
    return next(seen for seen in client.jobs.watch(job.id) if seen.progress.tokens >= tokens)


def test_a_poem_is_made_and_told_of_in_full(client: Quire) -> None:
    job = client.jobs.submit(form="poem", title="The Harbour", theme="the sea", n=2, max_tokens=40, seed=5)

    done = client.jobs.wait(job.id, timeout=120)

    assert done.state == "succeeded"
    assert [piece.index for piece in done.pieces] == [0, 1]
    assert all(piece.text and piece.finish_reason in {"stop", "length"} for piece in done.pieces)
    assert done.usage.completion_tokens == sum(piece.tokens for piece in done.pieces)
    assert client.jobs.output(job.id).count("* * *") == 1


def test_the_same_seed_makes_the_same_text_in_any_company(client: Quire) -> None:
    alone = client.jobs.wait(client.jobs.submit("The moon", seed=3, max_tokens=48).id, timeout=120)

    crowd = [client.jobs.submit("The moon", seed=seed, max_tokens=48) for seed in range(12)]
    together = client.jobs.wait(crowd[3].id, timeout=120)

    assert together.text == alone.text


def test_a_job_whose_worker_is_killed_ends_with_the_text_it_would_have_had(system: System, client: Quire) -> None:
    undisturbed = client.jobs.wait(client.jobs.submit(**LONG).id, timeout=120)
    job = client.jobs.submit(**LONG)
    watched_until(client, job, tokens=30)
    (worker,) = system.worker_pids(SLOW)

    os.kill(worker, signal.SIGKILL)

    done = client.jobs.wait(job.id, timeout=120)
    assert (done.state, done.attempts) == ("succeeded", 1)
    assert done.text == undisturbed.text


def test_a_cancelled_job_is_terminal_at_once_and_keeps_what_is_committed(client: Quire) -> None:
    job = client.jobs.submit(**LONG)
    running_job = watched_until(client, job, tokens=1)

    cancelled = client.jobs.cancel(job.id)

    assert cancelled.state == "cancelled"
    assert cancelled.text.startswith(running_job.text)
    assert cancelled.usage.completion_tokens >= running_job.progress.tokens


def test_a_flushed_redis_loses_nothing(system: System, client: Quire) -> None:
    jobs = [client.jobs.submit("The wind", seed=seed, max_tokens=24) for seed in range(40)]

    with Redis.from_url(system.redis_url) as redis:
        redis.flushall()

    assert {client.jobs.wait(job.id, timeout=120).state for job in jobs} == {"succeeded"}


def test_no_prompt_and_no_text_lies_in_clear_in_the_database(system: System, client: Quire) -> None:
    job = client.jobs.wait(client.jobs.submit("Xanthippe sang of Ozymandias", max_tokens=16).id, timeout=120)

    with psycopg.connect(system.database_url) as connection:
        rows = connection.execute("SELECT body FROM jobs UNION ALL SELECT body FROM chunks").fetchall()

    assert rows
    assert not any(
        word in bytes(body) for (body,) in rows for word in (b"Xanthippe", job.text.strip()[:12].encode())
    )


def test_a_stopped_system_leaves_no_process(tmp_path: Path) -> None:
    with running(tmp_path / "data") as system:
        group = children_of(system.supervisor.pid)
        assert len(group) >= 5  # Postgres, Valkey, API, worker, scheduler

    assert [pid for pid in group if Path(f"/proc/{pid}").exists()] == []


def children_of(pid: int) -> list[int]:
    """All descendants of a process."""
    listing = [(int(entry.name), entry) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    parents = {}
    for child, entry in listing:
        try:
            parents[child] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
    found = [pid]
    for parent in found:
        found += [child for child, its_parent in parents.items() if its_parent == parent]
    return found[1:]
