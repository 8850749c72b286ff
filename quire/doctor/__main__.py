"""The command line of `quire doctor`. Exit codes: 0 nothing fails, 1 something does, 2 it could not look."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from pydantic import ValidationError
from redis import Redis, RedisError
from sqlalchemy.exc import SQLAlchemyError

from quire.database import Database
from quire.doctor import others, postgres
from quire.doctor.finding import Finding, Level, Patient
from quire.errors import ConfigurationError
from quire.local.running import settings_of
from quire.settings import Settings, load_settings

Check = Callable[[Patient], Iterator[Finding]]

CHECKS: tuple[Check, ...] = (
    postgres.version,
    postgres.migration,
    postgres.connections,
    postgres.roles,
    postgres.walls,
    postgres.timeouts,
    postgres.clock,
    others.redis,
    others.keys,
    others.workers,
    others.music,
    others.scheduler,
)
PATIENCE = 5.0  # seconds that Redis has to answer
COULD_NOT_LOOK = 2


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        settings = _settings(options.ready_file)
    except ConfigurationError as error:
        print(f"quire doctor: {error}", file=sys.stderr)  # noqa: T201 -- a command line prints
        return COULD_NOT_LOOK
    url = settings.redis_url.get_secret_value()
    redis = Redis.from_url(url, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE)
    database = Database(settings.sqlalchemy_url, name="quire-doctor", pool_size=1)
    patient = Patient(settings, database, redis, options.apis, options.schedulers, options.workers)
    worst = 0
    with closing(database), closing(redis):
        for finding in examine(patient):
            print(json.dumps(asdict(finding)) if options.json else finding.line)  # noqa: T201
            worst = max(worst, int(finding.level is Level.FAIL))
    return worst


def examine(patient: Patient, checks: Sequence[Check] = CHECKS) -> Iterator[Finding]:
    """Do every check, whatever becomes of the others."""
    for check in checks:
        try:
            yield from check(patient)
        except (SQLAlchemyError, RedisError, ConfigurationError) as error:
            told = " ".join(str(getattr(error, "orig", None) or error).split())
            yield Finding(Level.FAIL, check.__name__, f"could not look: {told}")


def _settings(ready_file: Path | None) -> Settings:
    if ready_file is None:
        return load_settings()
    try:
        return Settings(**settings_of(ready_file))  # type: ignore[arg-type]
    except ValidationError as error:
        wrong = ", ".join(f"QUIRE_{problem['loc'][0]}".upper() for problem in error.errors())
        raise ConfigurationError(f"missing or wrong: {wrong}") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="quire doctor",
        description="Check what the system stands on, by the QUIRE_* variables. Changes nothing; exit code 1 if "
        "something fails.",
    )
    add = parser.add_argument
    add("--ready-file", type=Path, metavar="PATH", help="look at the `quire up` that wrote this file")
    add("--apis", type=int, default=1, metavar="N", help="API processes there are to be (%(default)s)")
    add("--schedulers", type=int, default=1, metavar="N", help="schedulers there are to be (%(default)s)")
    add("--workers", type=int, metavar="N", help="workers there are to be (default: as many as live now)")
    add("--json", action="store_true", help="one JSON object a finding")
    return parser


if __name__ == "__main__":
    sys.exit(main())
