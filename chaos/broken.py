"""Builds that are broken on purpose: a copy of the sources with one promise taken out, which a run must notice."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from quire.settings import REPOSITORY

COPIED = ("api", "bench", "chaos", "migrations", "quire", "quire_client", "scheduler", "worker", "alembic.ini")
CHECKPOINTS = "checkpoints"
SECONDS = 600
VIOLATED = 3  # exit code of a run that found violations; that of one that crashed is 1


class Unfit(Exception):
    """The text that was to be replaced is not there once."""


@dataclass(frozen=True)
class Breakage:
    """What to take out, and the options of a run that gives it the opportunity to go wrong."""

    file: str
    edits: Sequence[tuple[str, str]]
    options: Sequence[str]


BREAKAGES = {
    # Whatever fence a worker claims to hold, it may write as long as the job runs, under whomever.
    "fence": Breakage(
        "quire/store/job_steps.py",
        (
            ("SELECT jobs.id, jobs.fence FROM jobs\n", "SELECT jobs.id, mine.fence FROM jobs\n"),
            ("ON jobs.id = mine.id AND jobs.fence = mine.fence\n", "ON jobs.id = mine.id\n"),
        ),
        ("--jobs", "48", "--rate", "8", "--slow", "1", "--only", "worker stopped beyond its lease"),
    ),
    # Every retry is a new job.
    "idempotency": Breakage(
        "api/intake.py",
        (("return Once(name, key.fingerprint(route + canonical(dict(body)))) if name else None", "return None"),),
        ("--jobs", "100", "--rate", "25", "--only", "API killed"),
    ),
}


def broken_copy(name: str, folder: Path) -> None:
    """Copy the sources to a folder, without the promise.

    Raises:
        Unfit: the sources have changed, and the edit no longer says what it means.

    """
    for part in COPIED:
        source = REPOSITORY / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, folder / part)
    (folder / CHECKPOINTS).symlink_to(REPOSITORY / CHECKPOINTS)
    breakage = BREAKAGES[name]
    target = folder / breakage.file
    text = target.read_text()
    for old, new in breakage.edits:
        if text.count(old) != 1:
            raise Unfit(f"{breakage.file} has {text.count(old)} times: {old!r}")
        text = text.replace(old, new)
    target.write_text(text)


def is_caught(name: str, folder: Path, seed: int) -> bool:
    """Run the broken build; returns whether the run found violations. It prints them."""
    broken_copy(name, folder)
    command = [sys.executable, "-m", "chaos", "--short", "--seed", str(seed), *BREAKAGES[name].options]
    environment = os.environ | {"PYTHONPATH": str(folder)}
    finished = subprocess.run(command, cwd=folder, env=environment, timeout=SECONDS, check=False)
    return finished.returncode == VIOLATED
