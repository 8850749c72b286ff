"""Start the whole system, let a client of it write some verse, show it, and stop everything."""

import argparse
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from pathlib import Path

import httpx
from rich.console import Console

from quire_client.cli.local import checkout
from quire_client.client import Quire
from quire_client.clock import Clock, Deadline
from quire_client.demo.programme import PROGRAMME, TUNES
from quire_client.demo.show import Board, say, total
from quire_client.demo.signals import Signals, Stopped
from quire_client.demo.system import Ready, System, SystemFailedError
from quire_client.errors import QuireError
from quire_client.job import Job
from quire_client.values import Model

LOOK_SECONDS = 0.25
MODEL_SECONDS = 120.0
WRITING_SECONDS = 600.0


def main(argv: Sequence[str] | None = None) -> int:
    args = _parser().parse_args(argv)
    console = Console(highlight=False)
    began = time.monotonic()
    with Signals() as signals:
        try:
            code = _demo(console, signals, args.data)
        except Stopped as stopped:
            say(console, str(stopped))
            code = stopped.exit_code
        except QuireError as error:
            say(console, f"error: {error}", style="bold red")
            code = 1
    say(console, f"the demo took {time.monotonic() - began:.1f} s")
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m quire_client.demo", description=__doc__)
    parser.add_argument("--data", type=Path, metavar="DIR", help="kept between runs (default: var/demo)")
    return parser


def _demo(console: Console, signals: Signals, data: Path | None) -> int:
    root = checkout("quire.local", [Path(__file__).resolve().parents[2], Path.cwd()])
    system = System(root, (data or root / "var" / "demo").resolve(), signals)
    try:
        try:
            ready = _started(console, system)
            jobs = perform(ready, console, Clock(), files=system.files)
        except QuireError:
            if tail := system.tail():
                say(console, f"the end of {system.log}:\n{tail}", style="dim")
            raise
        return 0 if all(job.state == "succeeded" for job in jobs) else 1
    finally:
        with signals.held():
            _stop(console, system)


def _started(console: Console, system: System) -> Ready:
    with _status(console, "starting Postgres, Valkey, the API, a worker and the scheduler"):
        began = time.monotonic()
        system.start(lambda text: say(console, text))
        ready = system.ready()
    say(console, f"the system is up at {ready.url} after {time.monotonic() - began:.1f} s")
    return ready


def _stop(console: Console, system: System) -> None:
    with _status(console, "stopping the system") if system.started else nullcontext():
        system.stop()
    if system.started:
        say(console, "everything is stopped")


def _status(console: Console, text: str) -> AbstractContextManager[object]:
    if console.is_terminal:
        return console.status(text)
    say(console, text)
    return nullcontext()


def perform(
    ready: Ready,
    console: Console,
    clock: Clock,
    transport: httpx.BaseTransport | None = None,
    files: Path | None = None,
) -> list[Job]:
    """Make a tenant and a key, submit the programme, and show it to its end; tunes go into the folder `files`.

    Raises:
        QuireError: the system does not do its part, or takes too long.

    """
    # A transport of its own keeps proxies of the environment away from this machine's own address.
    transport = transport or httpx.HTTPTransport()
    with Quire(ready.url, admin_token=ready.admin_token, transport=transport, clock=clock) as operator:
        tenant = operator.tenants.create(f"demo-{datetime.now().astimezone():%Y%m%d-%H%M%S}")
        key = operator.keys.create(tenant.id, name="demo")
        say(console, f"made tenant {tenant.name} and its key {key.prefix}…")
        with Quire(ready.url, key.secret, transport=transport, clock=clock) as quire:
            models = _await_models(quire, clock)
            makes_music = any(model.kind == "music" and model.workers for model in models)
            programme = {**PROGRAMME, **(TUNES if makes_music else {})}
            headings = {quire.jobs.submit(**fields).id: name for name, fields in programme.items()}
            say(console, f"submitted {len(headings)} jobs")
            jobs = _watch(quire, Board(console, headings), set(headings), clock)
            if files is not None:
                _save(quire, console, jobs, files)
    say(console, total(jobs), style="bold")
    return jobs


def _save(quire: Quire, console: Console, jobs: Sequence[Job], folder: Path) -> None:
    """Write the tunes, their sound and their scores into a folder, and say what could not be made."""
    for job in jobs:
        if job.artifacts:
            names = ", ".join(path.name for path in quire.jobs.save(job.id, folder))
            say(console, f"saved {names} in {folder}")
            for artifact in job.artifacts:
                if artifact.unavailable:
                    say(console, f"no {artifact.name}: {artifact.unavailable}", style="dim")


def _await_models(quire: Quire, clock: Clock) -> Sequence[Model]:
    """Wait for a worker, and return the models: the first job of one that none has loaded would be refused."""
    deadline = Deadline(clock, MODEL_SECONDS)
    while True:
        models = quire.models.list()
        if any(model.workers for model in models):
            return models
        if deadline.passed:
            raise SystemFailedError(f"no worker has loaded a model in {MODEL_SECONDS:g} s")
        clock.sleep(LOOK_SECONDS)


def _watch(quire: Quire, board: Board, waiting: set[str], clock: Clock) -> list[Job]:
    """Look at all jobs in one request at a time, and fetch each that has ended."""
    deadline = Deadline(clock, WRITING_SECONDS)
    ended = []
    with board:
        while waiting:
            if deadline.passed:
                raise SystemFailedError(f"{len(waiting)} jobs were not done in {WRITING_SECONDS:g} s")
            for seen in reversed(quire.jobs.page(limit=100).data):
                if seen.id not in waiting:
                    continue
                board.update(seen)
                if seen.is_terminal:
                    waiting.remove(seen.id)
                    ended.append(quire.jobs.get(seen.id))
                    board.finished(ended[-1])
            clock.sleep(LOOK_SECONDS)
    return ended


if __name__ == "__main__":
    sys.exit(main())
