"""How a command line is read: options that all commands share, and the types of values."""

import argparse
import json
import math
import re
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

from quire_client.cli.exits import UsageError

SPANS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
SPAN = re.compile(r"\+(\d+)([smhd])")

# A string: the class takes a parameter only where types are read.
Groups: TypeAlias = "argparse._SubParsersAction[Parser]"  # noqa: SLF001 - it has no public name


class Parser(argparse.ArgumentParser):
    """Raise what is wrong instead of leaving, so that it is shown as every other error is."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("allow_abbrev", False)
        super().__init__(**options)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} -h)")


def shared() -> Parser:
    """Return options that may stand before and after the command.

    They have no default, or the one of the inner parser would hide what stood before the command.
    """
    parent = Parser(add_help=False, argument_default=argparse.SUPPRESS)
    options = parent.add_argument_group("everywhere")
    options.add_argument(
        "--json", action="store_true", help="for machines: JSON on stdout, errors as JSON on stderr"
    )
    options.add_argument("--url", metavar="URL", help="of the server (default: QUIRE_URL, else this machine)")
    return parent


def command(groups: Groups, name: str, run: Callable[..., int], text: str) -> argparse.ArgumentParser:
    """Add a command; `text` is its line in the list, and its own help."""
    parser = groups.add_parser(name, help=text, description=text, parents=[shared()])
    parser.set_defaults(run=run)
    return parser


def group(groups: Groups, name: str, other: str | None, text: str) -> Groups:
    """Add a group of commands, under its name in singular and plural."""
    parser = groups.add_parser(
        name, aliases=[other] if other else [], help=text, description=text, parents=[shared()]
    )
    return parser.add_subparsers(title="commands", metavar="COMMAND", required=True)


def pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def bias(text: str) -> tuple[str, float]:
    token, value = pair(text)
    if not token.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not TOKEN_ID=NUMBER")
    return token, number(value)


def moment(text: str) -> datetime:
    """Read RFC 3339, local time where no zone is given, or a span from now: `+90s`, `+10m`, `+2h`, `+1d`."""
    if span := SPAN.fullmatch(text):
        amount, unit = span.groups()
        return datetime.now().astimezone() + timedelta(**{SPANS[unit]: int(amount)})
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a time nor a span as +10m") from None


def number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return value


def file(text: str) -> bytes:
    try:
        return Path(text).read_bytes()
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{text!r} cannot be read: {error.strerror}") from None


def document(text: str) -> object:
    """Read a JSON file; - is standard input."""
    try:
        return json.loads(sys.stdin.buffer.read() if text == "-" else file(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no JSON: {error}") from None


def seconds(text: str) -> float:
    value = number(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is below zero")
    return value
