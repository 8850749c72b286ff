"""The previous version's services beside this version's, on tables that this version has migrated."""

import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from quire import testing
from quire.settings import REPOSITORY
from quire_client import Quire
from tests.processes import Services, environment, services
from tests.waiting import until

pytestmark = pytest.mark.acceptance

ARCHIVE = REPOSITORY / "tests" / "upgrade" / "previous.tar.xz"
KERNELS = Path("worker/engine/native/built")
# Python 3.11.3 and older know no filters.
SAFELY = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
TOKEN = "operator-token-of-the-upgrade"
# What is left out is not the same in both: the new version asks the model how it is drawn from.
DRAWN = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "repetition_penalty": 1.0}
LONG = {"prompt": "And all the night", "max_tokens": 300, "min_tokens": 300, "top_k": 40}


@pytest.fixture
def previous(tmp_path: Path) -> Path:
    """A checkout of the previous version."""
    folder = tmp_path / "previous"
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, **SAFELY)
    if (REPOSITORY / KERNELS).exists():  # they are named after their sources: others are not used
        shutil.copytree(REPOSITORY / KERNELS, folder / KERNELS)
    return folder


@pytest.fixture
def variables(postgres_url: str, redis_url: str) -> dict[str, str]:
    return environment(
        postgres_url,
        redis_url,
        QUIRE_MASTER_KEYS=testing.MASTER_KEYS,
        QUIRE_ADMIN_TOKEN=TOKEN,
        QUIRE_LOG_LEVEL="INFO",
    )


@pytest.fixture
def versions(previous: Path, variables: dict[str, str], tmp_path: Path) -> Iterator[tuple[Services, Services]]:
    with (
        services(variables, tmp_path, name="old", checkout=previous, worker_class="gthread") as old,
        services(variables, tmp_path, name="new") as new,
    ):
        until(lambda: len(live_workers(variables)) == 2, seconds=240)
        yield old, new


def live_workers(variables: dict[str, str]) -> set[int]:
    query = "SELECT pid FROM workers WHERE lease_until > clock_timestamp() AND NOT draining"
    with psycopg.connect(variables["QUIRE_DATABASE_URL"]) as connection:
        return {pid for (pid,) in connection.execute(query)}


def worker_of(variables: dict[str, str], job_id: str) -> int | None:
    query = "SELECT pid FROM jobs JOIN workers ON workers.id = worker_id WHERE jobs.id = %s"
    with psycopg.connect(variables["QUIRE_DATABASE_URL"]) as connection:
        row = connection.execute(query, [job_id.removeprefix("job_")]).fetchone()
    return row[0] if row else None


def test_the_archive_is_of_an_older_version(previous: Path) -> None:
    kept = {path.name for path in (previous / "migrations" / "versions").glob("*.py")}
    ours = {path.name for path in (REPOSITORY / "migrations" / "versions").glob("*.py")}

    assert kept < ours


def test_both_versions_work_side_by_side_and_the_old_one_hands_over(
    versions: tuple[Services, Services], variables: dict[str, str]
) -> None:
    old, new = versions
    assert httpx.get(f"{new.url}/readyz").status_code == 200
    with Quire(old.url, admin_token=TOKEN) as operator:
        secret = operator.keys.create(operator.tenants.create("press").id).secret
    with Quire(old.url, api_key=secret) as by_old, Quire(new.url, api_key=secret) as by_new:
        # Jobs of either API run on either worker, to the same texts where their numerics are the same.
        short = {
            seed: [api.jobs.submit("The moon", seed=seed, max_tokens=24, **DRAWN).id for api in (by_old, by_new)]
            for seed in range(8)
        }
        for pair in short.values():
            done = [by_new.jobs.wait(job, timeout=120) for job in pair]
            assert [job.state for job in done] == ["succeeded", "succeeded"]
            if done[0].numerics == done[1].numerics:
                assert done[0].text == done[1].text
        assert "job_started" in old.log("worker")
        assert "job_started" in new.log("worker")

        # The old worker is stopped in the middle of its jobs: the new one goes on with them.
        long = {api.jobs.submit(seed=seed, **LONG).id: seed for seed, api in enumerate([by_old, by_new] * 2)}
        until(lambda: all(worker_of(variables, job) for job in long), seconds=60)
        moved = [job for job in long if worker_of(variables, job) == old.processes["worker"].pid]
        assert moved
        for service in ("worker", "scheduler"):
            old.processes[service].terminate()
        for job in long:
            done = by_old.jobs.wait(job, timeout=120)
            assert (done.state, done.attempts) == ("succeeded", 0)
        assert live_workers(variables) == {new.processes["worker"].pid}
