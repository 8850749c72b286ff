from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from quire.audit.checks import CHECKS, Check
from quire.database import Database

PATIENCE = 600.0  # seconds that one check may take
SHOWN = 5  # exceptions of each check that are named

SUMS = text("""
    SELECT count(*) AS entries, count(*) FILTER (WHERE settled_at IS NULL) AS open,
        coalesce(sum(reserved) FILTER (WHERE settled_at IS NULL), 0) AS reserved,
        coalesce(sum(prompt_tokens), 0) AS prompt_tokens, coalesce(sum(completion_tokens), 0) AS completion_tokens
    FROM ledger
""")


@dataclass(frozen=True)
class Result:
    """What a check has found: how much, and some of it by name."""

    check: Check
    found: int
    examples: Sequence[str]


@dataclass(frozen=True)
class Sums:
    """The ledger added up, in tokens."""

    entries: int
    open: int
    reserved: int  # by open entries
    prompt_tokens: int  # billed
    completion_tokens: int


def audit(database: Database, checks: Sequence[Check] = CHECKS) -> tuple[Sums, list[Result]]:
    """Make every check on one moment of the database.

    The snapshot is held until the last is made, and vacuum waits for it: on a large and busy database choose a
    quiet hour.
    """
    with database.snapshot(seconds=PATIENCE) as session:
        row = session.execute(SUMS).one()
        sums = Sums(*(int(value) for value in row))
        return sums, list(_results(session, checks))


def _results(session: Session, checks: Sequence[Check]) -> Iterator[Result]:
    for check in checks:
        query = f"SELECT what, count(*) OVER () AS found FROM ({check.exceptions}) AS exceptions LIMIT {SHOWN}"  # noqa: S608
        rows = session.execute(text(query)).all()
        yield Result(check, int(rows[0].found) if rows else 0, [row.what for row in rows])
