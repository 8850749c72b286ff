"""The command line `quire`. Exit codes are part of its interface; exits.py lists them."""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import httpx

from quire_client.cli import (
    admin,
    batches,
    jobs,
    keys,
    local,
    models,
    schedules,
    submit,
    tail,
    tenants,
    usage,
    webhooks,
)
from quire_client.cli.exits import MEANINGS, Exit, exit_of
from quire_client.cli.output import Output
from quire_client.cli.parser import Parser, shared
from quire_client.client import Quire
from quire_client.clock import Clock
from quire_client.errors import QuireError
from quire_client.version import __version__

EPILOG = """\
environment:
  QUIRE_URL          the server, as http://127.0.0.1:8000
  QUIRE_API_KEY      a tenant's key, for jobs and models
  QUIRE_ADMIN_TOKEN  the operator's token, for tenants, keys and the rest

exit codes:
""" + "\n".join(f"  {code:<4} {meaning}" for code, meaning in MEANINGS.items())


@dataclass(frozen=True)
class Outside:
    """What tests put in place of the network, the clock and other programs."""

    transport: httpx.BaseTransport | None = None
    clock: Clock | None = None
    execute: local.Execute = local.become


def parser() -> Parser:
    top = Parser(
        prog="quire",
        description="Queue creative writing for GPT-2 models, and get it back.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[shared()],
    )
    top.add_argument("--version", action="version", version=f"quire {__version__}")
    groups = top.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=Parser)
    submit.add(groups)
    tail.add(groups)
    jobs.add(groups)
    batches.add(groups)
    schedules.add(groups)
    webhooks.add(groups)
    local.add(groups, models.add(groups))
    tenants.add(groups)
    keys.add(groups)
    usage.add(groups)
    admin.add(groups)
    return top


def main(argv: Sequence[str] | None = None, outside: Outside | None = None) -> int:
    """Run a command and return its exit code. `-h` and `--version` raise SystemExit, as argparse has it."""
    words = list(sys.argv[1:] if argv is None else argv)
    out = Output(as_json="--json" in words)
    try:
        return _run(words, out, outside or Outside())
    except QuireError as error:
        code = exit_of(error)
        out.error(error, code)
        return code
    except KeyboardInterrupt as interrupt:
        out.error(interrupt if interrupt.args else KeyboardInterrupt("by the keyboard"), Exit.INTERRUPTED)
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # The reader, `head` say, has enough. Python would complain once more while it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK


def _run(words: Sequence[str], out: Output, outside: Outside) -> int:
    if target := local.handed_on(words):
        return local.run(target, outside.execute)
    args = parser().parse_args(words)
    with Quire(getattr(args, "url", None), transport=outside.transport, clock=outside.clock) as quire:
        return int(args.run(args, quire, out))
