"""How many jobs tenants have waiting, as one process knows it without counting at each submission."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.orm import Session

from quire.store import job_counts

BELIEVED_SECONDS = 1.0
TENANTS = 10_000  # remembered; beyond, all are counted anew


@dataclass
class _Count:
    jobs: int
    at: float


class Backlogs:
    """For each tenant a count that is no older than a second, and what this process has added since.

    It may be too low by what other processes have added in that second, so it decides nothing near a limit.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: dict[UUID, _Count] = {}

    def of(self, session: Session, tenant_id: UUID, limit: int) -> int:
        """Return about how many jobs wait, held ones too; counted no further than `limit`."""
        with self._lock:
            known = self._counts.get(tenant_id)
            if known and self._clock() - known.at < BELIEVED_SECONDS:
                return known.jobs
            if known:  # who comes while this one counts need not count as well
                known.at = self._clock()
        counted = _Count(job_counts.queued_of(session, tenant_id, limit), self._clock())
        with self._lock:
            if len(self._counts) >= TENANTS:
                self._counts.clear()
            self._counts[tenant_id] = counted
        return counted.jobs

    def add(self, tenant_id: UUID, jobs: int) -> None:
        """Note what this process has submitted. If that is undone, the count is too high until the next one."""
        with self._lock:
            if known := self._counts.get(tenant_id):
                known.jobs += jobs
