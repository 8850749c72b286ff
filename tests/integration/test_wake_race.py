"""The race between who makes a job runnable and who finds its lane empty, run some thousand times.

Lanes are few and nearly always empty: each job is submitted, or released after a moment, then claimed, now and
then put back, and ended. So its lane goes to sleep and wakes all the time, while claims, submissions and releases
meet. A job whose waking was missed would lie in a sleeping lane for ever.
"""

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from quire import jobs
from quire.jobs import Outcome, Report
from quire.store import Tenant
from quire.store.job import State
from quire.testing import Place
from tests.integration import steps

LANES = 3
SUBMITTERS = 4
CLAIMERS = 3
EACH = 400  # jobs of each submitter
MOMENT = timedelta(milliseconds=5)
PATIENCE = 120.0  # seconds

# A runnable job in a lane that is not marked as ready: nobody would ever claim it, but for the luck that the next
# job of its lane wakes the lane. So no snapshot may show one.
LIVE_AND_STRANDED = text("""
    SELECT count(*), count(*) FILTER (WHERE state = 'queued' AND hold = 0 AND NOT ready)
    FROM jobs JOIN lanes USING (model, tenant_id) WHERE state IN ('queued', 'running')
""")


@dataclass
class Race:
    place: Place
    tenants: list[Tenant]
    submitting: int = SUBMITTERS
    stranded: int = 0
    over: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)
    deadline: float = field(default_factory=lambda: time.monotonic() + PATIENCE)

    def submit(self, number: int) -> None:
        draw = random.Random(number)
        for _ in range(EACH):
            if self.over.is_set():
                return
            held = {"not_before": datetime.now(UTC) + MOMENT} if draw.random() < 0.5 else {}
            steps.queued(self.place, draw.choice(self.tenants), **held)
        with self.lock:
            self.submitting -= 1

    def release(self, _: int) -> None:
        while not self.over.is_set():
            with self.place.database.service() as session:
                jobs.release_due(session)

    def work(self, number: int) -> None:
        """Claim a few, end most of them, put some back."""
        draw = random.Random(-number)
        worker = steps.worker(self.place)
        while not self.over.is_set():
            claimed = steps.claim(self.place, worker, 4)
            if not claimed:
                self.look()
                continue
            ends = [State.QUEUED if draw.random() < 0.2 else State.SUCCEEDED for _ in claimed]
            reports = [
                Report(one.id, one.fence, (), Outcome(end, 6)) for one, end in zip(claimed, ends, strict=True)
            ]
            steps.commit(self.place, *reports)

    def look(self) -> None:
        """End the race when all jobs have ended, or one is stranded."""
        with self.place.database.service() as session:
            live, stranded = session.execute(LIVE_AND_STRANDED).one()
        # Kept, because another thread may look later, when the lane has been woken by luck.
        self.stranded = max(self.stranded, stranded)
        late = time.monotonic() > self.deadline
        if self.stranded or late or not (live or self.submitting):
            self.over.set()

    def run(self) -> None:
        def guarded(role: Callable[[int], None], number: int) -> None:
            try:
                role(number)
            except BaseException:
                self.over.set()  # one thread's trouble ends the others
                raise

        roles = [(self.submit, number) for number in range(SUBMITTERS)]
        roles += [(self.work, number) for number in range(CLAIMERS)]
        roles += [(self.release, 0)]
        with ThreadPoolExecutor(len(roles)) as pool:
            for thread in [pool.submit(guarded, role, number) for role, number in roles]:
                thread.result()


@pytest.fixture
def race(place: Place) -> Race:
    """A race that is over: every job has ended, or one never will."""
    race = Race(place, [place.tenant, *(steps.tenant(place) for _ in range(LANES - 1))])
    race.run()
    return race


def test_no_job_ever_lies_in_a_sleeping_lane(race: Race) -> None:
    with race.place.database.service() as session:
        states = dict(session.execute(text("SELECT state, count(*) FROM jobs GROUP BY state")).all())

    assert race.stranded == 0
    assert states == {"succeeded": SUBMITTERS * EACH}
