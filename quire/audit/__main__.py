"""The command line of `quire audit`. Exit codes: 0 all is right, 1 something is not, 2 it could not look."""

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from quire.audit.auditing import Result, Sums, audit
from quire.database import Database
from quire.errors import ConfigurationError
from quire.local.running import settings_of
from quire.settings import DatabaseSettings

COULD_NOT_LOOK = 2


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        known = settings_of(options.ready_file) if options.ready_file else {}
        settings = DatabaseSettings(**known)  # type: ignore[arg-type]
        with closing(Database(settings.sqlalchemy_url, name="quire-audit", pool_size=1)) as database:
            sums, results = audit(database)
    except ValidationError:
        return _fail("QUIRE_DATABASE_URL is missing")
    except (ConfigurationError, SQLAlchemyError) as error:
        return _fail(str(getattr(error, "orig", None) or error))
    print(_as_json(sums, results) if options.json else _table(sums, results))  # noqa: T201 -- a command line prints
    return int(any(result.found for result in results))


def _table(sums: Sums, results: Sequence[Result]) -> str:
    lines = []
    for result in results:
        lines.append(f"{'FOUND' if result.found else 'ok':<5}  {result.found:>8,}  {result.check.rule}")
        lines += [f"{'':15}    {example}" for example in result.examples]
        if result.found > len(result.examples):
            lines.append(f"{'':15}    and {result.found - len(result.examples):,} more")
    billed = f"{sums.prompt_tokens:,} tokens of prompts and {sums.completion_tokens:,} of texts"
    lines.append(f"{sums.entries:,} entries billed {billed}; {sums.open:,} are open and reserve {sums.reserved:,}")
    return "\n".join(lines)


def _as_json(sums: Sums, results: Sequence[Result]) -> str:
    checks = [
        {"name": each.check.name, "rule": each.check.rule, "found": each.found, "examples": list(each.examples)}
        for each in results
    ]
    return json.dumps({"ledger": asdict(sums), "checks": checks})


def _fail(message: str) -> int:
    print(f"quire audit: {message}", file=sys.stderr)  # noqa: T201
    return COULD_NOT_LOOK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="quire audit",
        description="Prove that ledger, jobs, texts and lanes agree, at one moment of the database. Changes "
        "nothing; exit code 1 if something is wrong.",
    )
    parser.add_argument(
        "--ready-file", type=Path, metavar="PATH", help="look at the `quire up` that wrote this file"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")
    return parser


if __name__ == "__main__":
    sys.exit(main())
