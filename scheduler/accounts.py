"""Takes settled entries of the ledger into the accounts by day."""

from quire.database import Database
from quire.store import usage

BATCH = 5_000


def take_over(database: Database) -> int:
    """Move some settled entries from reserved to billed; returns how many."""
    with database.service() as session:
        return usage.take_over(session, BATCH)
