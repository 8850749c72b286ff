"""The short form of the fault runs, about a minute; `make chaos` has the long ones, and the broken builds."""

import subprocess
import sys
from pathlib import Path

import pytest

from quire.settings import REPOSITORY

pytestmark = pytest.mark.acceptance

SECONDS = 280


def test_a_short_storm_of_faults_breaks_no_promise(tmp_path: Path) -> None:
    options = ["--short", "--jobs", "300", "--rate", "6", "--slow", "0.1", "--keep", str(tmp_path / "run")]

    run = subprocess.run(
        [sys.executable, "-m", "chaos", *options],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )

    assert run.returncode == 0, run.stdout + run.stderr
