"""The command line of `quire up`. Exit codes: 0 stopped, 1 could not start, 3 already running, 130 interrupted."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from quire.errors import ConfigurationError
from quire.local.lock import AlreadyRunning, only_one
from quire.local.system import INTERRUPTED, run
from quire.settings import REPOSITORY
from quire.supervisor import ChildFailed

COULD_NOT_START, ALREADY_RUNNING = 1, 3


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING if options.quiet else logging.INFO, format="%(message)s")
    data = options.data.resolve()
    try:
        _check_checkout()
        with only_one(data):
            return run(
                data,
                port=options.port,
                workers=options.workers,
                ready_file=options.ready_file and options.ready_file.resolve(),
                quiet=options.quiet,
            )
    except KeyboardInterrupt:  # before the supervisor listens for it
        return INTERRUPTED
    except AlreadyRunning as error:
        return _fail(error.detail, ALREADY_RUNNING)
    except ValidationError as error:
        problems = [f"QUIRE_{'.'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors()]
        return _fail("; ".join(problems), COULD_NOT_START)
    except (ConfigurationError, ChildFailed, OSError) as error:
        return _fail(str(error), COULD_NOT_START)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="quire up",
        description="Run the whole system on this machine. QUIRE_* variables that are set win; with "
        "QUIRE_DATABASE_URL or QUIRE_REDIS_URL no own Postgres or Valkey is started.",
    )
    add = parser.add_argument
    add("--data", type=Path, default=REPOSITORY / "var/quire", help="directory of all data (%(default)s)")
    add("--port", type=_port, default=8000, help="of the API, on 127.0.0.1; 0 takes a free one (%(default)s)")
    add("--workers", type=_count, default=1, metavar="N", help="worker processes a model (%(default)s)")
    add("--ready-file", type=Path, metavar="PATH", help="written when ready: JSON, secrets included")
    add("--quiet", action="store_true", help="say nothing unless something is wrong")
    return parser


def _port(text: str) -> int:
    if not 0 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError("a port is between 0 and 65535")
    return int(text)


def _count(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return int(text)


def _check_checkout() -> None:
    if not (REPOSITORY / "api").is_dir():
        raise ConfigurationError(f"{REPOSITORY} is not a checkout of Quire: there is no api/ beside quire/.")


def _fail(message: str, code: int) -> int:
    print(f"quire up: {message}", file=sys.stderr)  # noqa: T201 -- a command line prints
    return code


if __name__ == "__main__":
    sys.exit(main())
