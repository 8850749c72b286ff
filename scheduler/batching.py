"""Feeds batches, and counts what has ended of them."""

from itertools import chain, islice, zip_longest

from quire import batches, jobs
from quire.database import Database

BATCHES = 50  # steps of one round, each a transaction of some milliseconds
ENDED = 2_000  # jobs that one round looks at for where something has ended


class Batching:
    def __init__(self, database: Database, *, window: int) -> None:
        self._database = database
        self._feeder = batches.Feeder(window)

    def run(self) -> int:
        """Take a step at each batch where something has ended or may be fed; returns the items moved."""
        with self._database.service() as session:
            ended = jobs.uncollected(session, ENDED)
            hungry = batches.is_hungry(session, BATCHES)
        # In turns: neither kind keeps the other waiting, and the longest waiting of each come first.
        due = dict.fromkeys(filter(None, chain.from_iterable(zip_longest(ended, hungry))))
        moved = 0
        for batch in islice(due, BATCHES):
            with self._database.service() as session:
                moved += self._feeder.step(session, batch)
        return moved
