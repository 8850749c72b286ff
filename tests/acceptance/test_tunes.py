"""Tunes, from the command line to files that other programs open, with a model that has learned nothing."""

import json
import os
import subprocess
import sys
import wave
from collections.abc import Iterator
from pathlib import Path

import pytest
from symusic import Score

from bench.system import System, running
from quire.testing import checkpoint_folder
from quire_client import Quire
from tests.tunes import tiny_tunes
from worker.creative.checking import Wanted, faults
from worker.rendering.tools import find_tools

pytestmark = pytest.mark.acceptance

TUNES = "tiny-tunes"
ASKED = ("--kind", "music", "--style", "jig", "--key", "E minor", "--bars", "8", "--title", "The Lighthouse")


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("system")
    models = f"quire-verse={checkpoint_folder()},{TUNES}={tiny_tunes(folder / TUNES)}"
    with running(folder / "data", QUIRE_MODELS=models) as system:
        yield system


@pytest.fixture
def client(system: System, request: pytest.FixtureRequest) -> Iterator[Quire]:
    with system.client(request.node.name) as client:
        yield client


def test_a_tune_comes_with_its_files(system: System, client: Quire, tmp_path: Path) -> None:
    key = client.jobs._connection._api_key
    environment = {**os.environ, "QUIRE_URL": system.url, "QUIRE_API_KEY": key}
    command = [sys.executable, "-m", "quire_client", "submit", *ASKED, "--wait", "--save", tmp_path, "--json"]

    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=True)

    job = json.loads(ran.stdout)
    assert (job["state"], job["model"]) == ("succeeded", TUNES)
    abc = (tmp_path / "tune-0.abc").read_text()
    assert abc.startswith("X:1\nT:The Lighthouse\nR:jig\nM:6/8\nL:1/8\nQ:3/8=112\n")
    assert faults(abc, Wanted("6/8", "E minor", 8)) == []
    assert job["output"]["pieces"][0]["text"] in abc
    assert Score.from_midi((tmp_path / "tune-0.mid").read_bytes()).tracks[0].program == 110
    assert "<svg" in (tmp_path / "tune-0.svg").read_text()
    if find_tools(None).missing("wav"):
        assert "not installed" in next(each["unavailable"] for each in job["artifacts"] if each["piece"] == 0)
    else:
        with wave.open(str(tmp_path / "tune-0.wav")) as sound:
            assert sound.getnframes() > sound.getframerate()


def test_a_seed_gives_the_same_tune(client: Quire) -> None:
    jobs = [
        client.jobs.submit(kind="music", style="reel", bars=8, seed=11, opening="GABc|", artifacts=["midi"])
        for _ in range(2)
    ]

    first, second = (client.jobs.wait(job.id, timeout=240).raise_for_state() for job in jobs)

    assert first.text == second.text
    assert [each.sha256 for each in first.artifacts] == [each.sha256 for each in second.artifacts]
    assert {each.name for each in first.artifacts} == {"tune-0.abc", "tune-0.mid"}
