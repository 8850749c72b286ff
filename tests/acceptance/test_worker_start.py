"""What a worker process does that cannot start."""

import os
import subprocess
import sys

import pytest

from quire.embedded.server import free_port
from quire.settings import REPOSITORY
from quire.testing import MASTER_KEYS
from tests.processes import MODEL, environment

pytestmark = pytest.mark.acceptance


def test_a_worker_that_finds_no_postgres_ends_so_that_it_is_started_again(redis_url: str) -> None:
    """Celery would keep the process, which then takes no jobs and looks well."""
    nowhere = f"postgresql://quire@127.0.0.1:{free_port()}/quire"
    command = ["celery", "--app=worker.app:app", "worker", "--pool=threads", f"--queues=quire.{MODEL}"]

    ended = subprocess.run(
        [sys.executable, "-m", *command],
        env=environment(nowhere, redis_url, QUIRE_MASTER_KEYS=MASTER_KEYS),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert ended.returncode == os.EX_TEMPFAIL, ended.stderr
    assert "not started" in ended.stderr
