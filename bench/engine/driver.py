"""The driver's side: starts peers, has them run one at a time, and keeps everyone's turns equal."""

import json
import os
import select
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bench.engine.options import Options
from bench.engine.work import Job, Ran
from quire.settings import REPOSITORY

# What one library's process is told must not reach another's, nor ours other than by its own defaults.
NOT_INHERITED = ("MKL_CBWR", "GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
ANSWER_SECONDS = 7200.0  # static batches of long texts take most of an hour on a slow machine
END_SECONDS = 30.0


class PeerFailed(Exception):
    """A peer told of an error, or ended without a word."""


class Peer:
    """A process that waits for what it is told to run."""

    def __init__(self, module: str, *arguments: object, settle: float) -> None:
        self.name = " ".join([module.rpartition(".")[2], *map(str, arguments[:2])])
        self._settle = settle
        inherited = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *map(str, arguments)],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=inherited,
        )

    def loaded(self) -> None:
        """Wait until it has loaded.

        Raises:
            PeerFailed: it could not.

        """
        self._answer()

    def ask(self, do: str, **what: Any) -> Any:
        """Have it do something and return its answer.

        Raises:
            PeerFailed: it could not.

        """
        # OpenMP threads go on spinning for up to 0.2 s after their last work.
        time.sleep(self._settle)
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **what}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def run(self, jobs: Sequence[Job], *, batch: int) -> Ran:
        """Have it run all jobs, those that batch statically with `batch` at once, and check what came of it.

        Raises:
            PeerFailed: it could not, or some text has another length than asked for.

        """
        ran = Ran(**self.ask("run", jobs=[job.plain() for job in jobs], batch=batch))
        if ran.tokens != sum(job.new_tokens for job in jobs):
            raise PeerFailed(f"{self.name} made {ran.tokens} tokens of {sum(job.new_tokens for job in jobs)}")
        return ran

    def warm(self, jobs: Sequence[Job], *, batch: int) -> str:
        """Have it run jobs before anything is measured; returns the settings it has chosen by it, if any."""
        chosen: str = self.ask("warm", jobs=[job.plain() for job in jobs], batch=batch)
        return chosen

    def trace(self, jobs: Sequence[Job], at: Sequence[float]) -> list[list[float]]:
        """Hand each job in at its time; return when each of its tokens came, in seconds after the start."""
        times: list[list[float]] = self.ask("trace", jobs=[job.plain() for job in jobs], at=list(at))
        return times

    def close(self) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it has ended already
            self._process.stdin.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _answer(self) -> Any:
        stdout = self._process.stdout
        assert stdout is not None
        # It answers with one line to each question, so that nothing can wait in the reader's buffer.
        if not select.select([stdout], [], [], ANSWER_SECONDS)[0]:
            raise PeerFailed(f"{self.name} did not answer in {ANSWER_SECONDS:g} s")
        line = stdout.readline()
        if not line:
            raise PeerFailed(f"{self.name} ended with exit code {self._process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise PeerFailed(f"{self.name}: {answer['error']}")
        return answer["answer"]


@contextmanager
def peer(module: str, *arguments: object, settle: float) -> Iterator[Peer]:
    """Start a peer, wait until it has loaded, and end it."""
    started = Peer(module, *arguments, settle=settle)
    try:
        started.loaded()
        yield started
    finally:
        started.close()


@contextmanager
def ours(options: Options, folder: Path, precision: str, **setting: int | None) -> Iterator[Peer]:
    """Start our engine in a process of its own; `setting` are fields of `ours.Setting`."""
    chosen = {"slots": options.slots, "threads": options.threads, **setting}
    given = [f"--{name.replace('_', '-')}={value}" for name, value in chosen.items() if value is not None]
    arguments = ["ours", precision, "--folder", folder, *given]
    with peer("bench.engine.peers", *arguments, settle=options.settle) as started:
        yield started


@contextmanager
def library(options: Options, name: str, precision: str, folder: Path) -> Iterator[Peer]:
    """Start one of the other libraries; `name` is one of `peers.PEERS`."""
    arguments = [name, precision, "--folder", folder, "--threads", options.threads]
    with peer("bench.engine.peers", *arguments, settle=options.settle) as started:
        yield started


def median_rate(runs: Sequence[Ran]) -> float:
    return statistics.median(ran.rate for ran in runs)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value at or below which `share` of the values lie."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def say(text: str) -> None:
    print(text, flush=True)
