"""The short form of the fault runs, about a minute, and the broken builds that it must notice."""

import subprocess
import sys
from pathlib import Path

import pytest

from quire.settings import REPOSITORY

pytestmark = pytest.mark.acceptance

SECONDS = 280


def chaos(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "chaos", *options],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )


def test_a_short_storm_of_faults_breaks_no_promise(tmp_path: Path) -> None:
    run = chaos("--short", "--jobs", "300", "--rate", "6", "--slow", "0.1", "--keep", str(tmp_path / "run"))

    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize(("promise", "violation"), [("fence", "stale_write"), ("idempotency", "doubled")])
def test_a_build_without_a_promise_is_noticed(promise: str, violation: str) -> None:
    run = chaos("--broken", promise)

    assert run.returncode == 0, run.stdout + run.stderr
    assert violation in run.stdout
