"""`quire models …`: what the server runs. `pull` and `check` are in local.py."""

import argparse

from quire_client.cli.exits import Exit
from quire_client.cli.output import Output
from quire_client.cli.parser import Groups, command, group
from quire_client.client import Quire


def add(groups: Groups) -> Groups:
    commands = group(groups, "models", "model", "list the server's models; fetch and check checkpoints here")
    command(commands, "list", list_, "list the models that the server's workers have loaded")
    return commands


def list_(_args: argparse.Namespace, quire: Quire, out: Output) -> int:
    out.rows(
        quire.models.list(),
        raw=lambda model: model.raw,
        columns=("model", "default", "workers", "context", "vocabulary", "numerics"),
        cells=lambda model: (
            model.id,
            "default" if model.default else None,
            model.workers,
            model.context_length,
            model.vocab_size,
            model.numerics,
        ),
    )
    return Exit.OK
