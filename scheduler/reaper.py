"""Takes jobs back from workers that are gone."""

import time
from collections.abc import Callable

from quire import jobs
from quire.database import Database
from quire.store import worker as workers


class Reaper:
    """Ends lapsed leases and requeues the jobs that ran under them.

    While Postgres is away nobody can renew a lease. So it waits one lease after Postgres started, and after its
    own failure, before it takes a lapsed lease for a dead worker.
    """

    def __init__(
        self,
        database: Database,
        *,
        lease_seconds: float,
        max_attempts: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._lease_seconds = lease_seconds
        self._max_attempts = max_attempts
        self._clock = clock
        self._trust_from = clock()

    def run(self) -> int:
        """Return how many jobs were put back or given up."""
        try:
            return self._reap()
        except Exception:
            self._trust_from = self._clock() + self._lease_seconds
            raise

    def _reap(self) -> int:
        with self._database.service() as session:
            settled = workers.postgres_uptime(session) >= self._lease_seconds
            if settled and self._clock() >= self._trust_from:
                workers.delete_lapsed(session)
        # Leases that were ended on purpose count at once, whatever Postgres' age.
        with self._database.service() as session:
            jobs.acquit_neighbours(session, self._max_attempts)
        with self._database.service() as session:
            return jobs.requeue_orphans(session, self._max_attempts)
