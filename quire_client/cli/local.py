"""Commands that run a part of the checkout on this machine, with all their options handed on.

The client does not import these parts: they bring torch and servers along, and the client must not.
"""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from quire_client.cli.parser import Groups
from quire_client.errors import ConfigurationError

Execute = Callable[[Sequence[str], Mapping[str, str]], int]

# Command line → module, and the words that stay in front of what is handed on.
HANDED_ON: Mapping[tuple[str, ...], tuple[str, ...]] = {
    ("up",): ("quire.local",),
    ("doctor",): ("quire.doctor",),
    ("audit",): ("quire.audit",),
    ("models", "pull"): ("worker.models", "pull"),
    ("model", "pull"): ("worker.models", "pull"),
    ("models", "check"): ("worker.models", "check"),
    ("model", "check"): ("worker.models", "check"),
}


def add(groups: Groups, models: Groups) -> None:
    """Name the commands in the help; their own help is that of the part they run."""
    groups.add_parser("up", help="run the whole system on this machine, out of a checkout", add_help=False)
    groups.add_parser("doctor", help="check what the system stands on, out of a checkout", add_help=False)
    groups.add_parser("audit", help="prove that the books are right, out of a checkout", add_help=False)
    models.add_parser("pull", help="fetch a checkpoint: NAME_OR_SOURCE", add_help=False)
    models.add_parser("check", help="load a checkpoint and say whether it can be run: SOURCE", add_help=False)


def handed_on(argv: Sequence[str]) -> tuple[str, ...] | None:
    """Return the module and arguments that a command line stands for; None: it is for the client."""
    for words, target in HANDED_ON.items():
        if tuple(argv[: len(words)]) == words:
            return (*target, *argv[len(words) :])
    return None


def become(command: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
    """Turn this process into another: signals and the exit code then need no passing on."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(command[0], list(command), dict(environment))  # noqa: S606 - there is no shell


def run(target: Sequence[str], execute: Execute = become) -> int:
    """Run `python -m` out of the checkout, from where the person stands.

    `-P` keeps that place off the path: a folder named `worker` there is not ours.

    Raises:
        ConfigurationError: there is no checkout with that module.

    """
    module, *arguments = target
    root = checkout(module, [Path(__file__).resolve().parents[2], Path.cwd(), *Path.cwd().parents])
    paths = [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    return execute([sys.executable, "-P", "-m", module, *arguments], environment)


def checkout(module: str, places: Sequence[Path]) -> Path:
    """Find the source tree that has the module."""
    file = Path(*module.split("."))
    for place in places:
        if place.joinpath(file).with_suffix(".py").is_file() or place.joinpath(file, "__main__.py").is_file():
            return place
    raise ConfigurationError(
        f"{module} is not here: this command runs out of a checkout of Quire; "
        "change into one, or install it from there with `pip install -e .`"
    )
