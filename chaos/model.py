"""The model of a run, and what each work comes to with it when nothing goes wrong."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from chaos.checker import Expected, Texts
from quire.settings import REPOSITORY

ORACLE_SECONDS = 600


@dataclass(frozen=True)
class Model:
    source: str  # folder of the checkpoint
    texts: Texts  # of each work of `works.ALL`, its pieces


def foretell(folder: Path, checkpoint: str | None = None) -> Model:
    """Make a tiny model in a folder, unless there is a checkpoint, and learn the texts of all works from it."""
    command = [sys.executable, "-m", "chaos.oracle", "--folder", str(folder)]
    command += ["--model", checkpoint] if checkpoint else []
    answer = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, timeout=ORACLE_SECONDS, check=True)
    told = json.loads(answer.stdout.splitlines()[-1])
    return Model(told["model"], [[Expected(**piece) for piece in pieces] for pieces in told["texts"]])
