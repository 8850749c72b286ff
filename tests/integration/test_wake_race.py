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

# What nobody would ever claim: a runnable job in a lane that is not marked as ready.
STRANDED = text("""
    SELECT count(*) FROM jobs JOIN lanes USING (model, tenant_id)
    WHERE state = 'queued' AND hold = 0 AND NOT ready
""")
LIVE = text("SELECT count(*) FROM jobs WHERE state IN ('queued', 'running')")


@dataclass
class Race:
    place: Place
    tenants: list[Tenant]
    submitting: int = SUBMITTERS
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
                self.end_if_nothing_moves()
                continue
            ends = [State.QUEUED if draw.random() < 0.2 else State.SUCCEEDED for _ in claimed]
            reports = [
                Report(one.id, one.fence, (), Outcome(end, 6)) for one, end in zip(claimed, ends, strict=True)
            ]
            steps.commit(self.place, *reports)

    def end_if_nothing_moves(self) -> None:
        """End the race when all jobs have ended, or when all that have not are stranded."""
        if self.submitting:
            return
        with self.place.database.service() as session:
            live, stranded = session.scalar(LIVE), session.scalar(STRANDED)
        if live == stranded or time.monotonic() > self.deadline:
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
def raced(place: Place) -> Place:
    """A place in which every job has ended, or never will."""
    Race(place, [place.tenant, *(steps.tenant(place) for _ in range(LANES - 1))]).run()
    return place


def test_after_the_race_no_job_lies_in_a_sleeping_lane(raced: Place) -> None:
    with raced.database.service() as session:
        states = dict(session.execute(text("SELECT state, count(*) FROM jobs GROUP BY state")).all())
        stranded = session.scalar(STRANDED)

    assert stranded == 0
    assert states == {"succeeded": SUBMITTERS * EACH}
