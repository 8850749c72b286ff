"""Whether a book whose worker is killed becomes the one that was left alone, and how soon it goes on.

A model of GPT-2's 124M shape, with random weights, and the one that ships. Each writes a book undisturbed, and the
same again while its worker is killed at random moments; a worker commits what it has drawn every half second, and
the next takes the book up from there.
"""

import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from bench import provenance, report
from bench.engine import options as sizes
from bench.engine.checkpoint import made
from bench.longform import costs
from bench.report import RESULTS, Figure
from bench.system import System, running
from quire.settings import REPOSITORY
from quire_client import Quire

WINDOWS = 8  # of a quarter of 1,024 tokens
PARTS, PART_TOKENS = 2, WINDOWS * 256 // 2
PATIENCE = 1_800.0  # seconds
BOOK: Mapping[str, Any] = {
    "kind": "longform",
    "seed": 7,
    "temperature": 1.0,
    "top_k": 40,
    "longform": {
        "title": "The Letter",
        "premise": "A lighthouse keeper finds a letter.",
        "parts": PARTS,
        "tokens": PART_TOKENS,
    },
}


def models() -> dict[str, Path]:
    return {"of 124M": Path(made(sizes.Options())), "as shipped": REPOSITORY / "checkpoints" / "quire-english"}


def disturbed(system: System, quire: Quire, kills: int, chance: random.Random) -> tuple[str, list[float]]:
    """Write the book while its worker is killed; returns its text, and the seconds until it went on each time."""
    moments = sorted(chance.sample(range(32, PARTS * PART_TOKENS - 32), kills))
    away: list[float] = []
    killed, written = 0.0, 0
    submitted = quire.jobs.submit(**BOOK)
    for job in quire.jobs.watch(submitted.id):
        tokens = job.progress.tokens
        if killed and tokens > written:
            away.append(time.monotonic() - killed)
            killed = 0.0
        if not killed and moments and tokens >= moments[0]:
            moments.pop(0)
            killed, written = time.monotonic(), tokens
            for pid in system.worker_pids():
                os.kill(pid, signal.SIGKILL)
    if len(away) != kills:
        raise RuntimeError(f"the book went on after {len(away)} of {kills} kills")
    return text_of(quire, submitted.id), away


def text_of(quire: Quire, job_id: str) -> str:
    job = quire.jobs.wait(job_id, PATIENCE)
    if job.state != "succeeded":
        raise RuntimeError(f"the book ended as {job.state}: {job.error}")
    return "\n\n".join(piece.text for piece in job.pieces)


def main(kills: int, rounds: int) -> None:
    """Measure all of it, keep the figures, and write them down."""
    figures = []
    for name, folder in models().items():
        chance = random.Random(1)
        differing, away = 0, []
        with (
            tempfile.TemporaryDirectory() as data,
            running(Path(data) / "data", QUIRE_MODELS=f"writer={folder}") as system,
            system.client("bench") as quire,
        ):
            alone = text_of(quire, quire.jobs.submit(**BOOK).id)
            for _ in range(rounds):
                found, seconds = disturbed(system, quire, kills, chance)
                differing += found != alone
                away += seconds
                print(
                    f"{name}: {'another' if found != alone else 'the same'} book after {kills} kills", flush=True
                )
        part = name.replace(" ", "_")
        figures += [
            Figure(f"killed_{part}_differing", differing, f"of {rounds} books"),
            Figure(f"killed_{part}_kills", kills * rounds, "kills"),
            Figure(f"killed_{part}_away_p50", median(away), "s"),
        ]
    report.merge(costs.NAME, figures)
    notes = {"Scale": f"books of {WINDOWS} windows of 256 tokens, {kills} kills each, fp32, one worker"}
    provenance.keep(
        costs.NAME, "kills", provenance.of_now("bench.longform", sys.argv[1:], ["torch"], notes), RESULTS
    )
    costs.page()
