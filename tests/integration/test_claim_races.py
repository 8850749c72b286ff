"""What claims, submissions and endings do to each other when they meet."""

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from quire import jobs, testing
from quire.errors import NotFound
from quire.store import Tenant
from quire.store import lane as lanes
from quire.store.job import State
from quire.store.lane import LaneKey
from quire.testing import MODEL, Place
from tests.integration import steps
from tests.waiting import lock_waiters, until


def test_no_job_is_claimed_twice_by_eight_claimers(place: Place) -> None:
    queued = steps.in_bulk(place, 1000) + steps.in_bulk(place, 1000, steps.tenant(place))

    def claim_all(worker: UUID) -> list[UUID]:
        return [one.id for batch in iter(lambda: steps.claim(place, worker, 16), []) for one in batch]

    with ThreadPoolExecutor(8) as pool:
        batches = list(pool.map(claim_all, [steps.worker(place) for _ in range(8)]))

    assert sorted(job for batch in batches for job in batch) == sorted(queued)


# ---- waking and clearing -----------------------------------------------------------------------------------


def test_a_claim_leaves_a_lane_ready_in_which_a_job_is_being_submitted(place: Place) -> None:
    worker = steps.worker(place)
    steps.running(place)  # the lane is still marked ready, and has no runnable job
    with place.database.tenant(place.tenant.id) as session:
        submitted = testing.add_job(session, place.tenant)

        assert steps.claim(place, worker) == []  # it cannot see that job yet

    assert [one.id for one in steps.claim(place, worker)] == [submitted.id]


def test_a_clearing_without_the_lock_would_strand_that_job(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def clear(session: Session, model: str, tenants: list[UUID]) -> None:
        session.execute(lanes.CLEAR, {"model": model, "tenants": list(tenants)})

    monkeypatch.setattr(lanes, "clear", clear)
    worker = steps.worker(place)
    steps.running(place)
    with place.database.tenant(place.tenant.id) as session:
        testing.add_job(session, place.tenant)
        steps.claim(place, worker)

    assert steps.claim(place, worker) == []


def test_a_submission_waits_for_a_claim_that_is_clearing_its_lane(place: Place, shared_url: str) -> None:
    worker = steps.worker(place)
    steps.running(place)
    with ThreadPoolExecutor() as pool:
        with place.database.service() as session:
            jobs.claim(session, model=MODEL, worker_id=worker, numerics=None, k=1)
            submission = pool.submit(steps.queued, place)
            until(lambda: lock_waiters(shared_url) == 1)
        submitted = submission.result()

    assert [one.id for one in steps.claim(place, worker)] == [submitted.id]


def test_lanes_are_woken_in_key_order(place: Place, shared_url: str) -> None:
    # Made in the other order, which is the one a plain update would take.
    first, second = sorted((steps.tenant(place) for _ in range(2)), key=lambda owner: owner.id)
    keys = [LaneKey(MODEL, owner.id) for owner in (second, first)]
    with place.database.service() as session:
        for key in keys:
            lanes.open_lane(session, key)

    def wake() -> None:
        with place.database.service() as session:
            lanes.wake(session, keys)

    with ThreadPoolExecutor() as pool, place.database.service() as session:
        session.execute(text("SELECT FROM lanes WHERE tenant_id = :id FOR NO KEY UPDATE"), {"id": first.id})
        waking = pool.submit(wake)
        until(lambda: lock_waiters(shared_url) == 1)
        nowait = text("SELECT 1 FROM lanes WHERE tenant_id = :id FOR NO KEY UPDATE NOWAIT")

        assert session.execute(nowait, {"id": second.id}).scalar() == 1  # or the two would wait for each other
        session.commit()
        waking.result()


# ---- everything at once ------------------------------------------------------------------------------------


@dataclass
class Hammer:
    """Threads that do everything there is to do with the jobs of a few tenants, until all jobs have ended."""

    place: Place
    tenants: list[Tenant]
    each: int
    submitted: list[tuple[Tenant, UUID]] = field(default_factory=list)
    deadline: float = field(default_factory=lambda: time.monotonic() + 60)
    done: threading.Event = field(default_factory=threading.Event)

    def submit(self, number: int) -> None:
        for _ in range(self.each):
            owner = self.tenants[number]
            self.submitted.append((owner, steps.queued(self.place, owner).id))

    def work(self, number: int) -> None:
        """Claim, write, and end jobs; now and then put one back, or die with what was claimed."""
        chance = random.Random(number)
        worker = steps.worker(self.place)
        while not self.done.is_set():
            claimed = steps.claim(self.place, worker, 4)
            if chance.random() < 0.1:
                steps.die(self.place, worker)
                worker = steps.worker(self.place)
                continue
            ends = [chance.choice([State.SUCCEEDED, State.FAILED, State.QUEUED]) for _ in claimed]
            reports = [
                steps.report(one, "ab", jobs.Outcome(end, 6, 2)) for one, end in zip(claimed, ends, strict=True)
            ]
            steps.commit(self.place, *reports)

    def cancel(self, number: int) -> None:
        chance = random.Random(number)
        while not self.done.is_set():
            if self.submitted:
                owner, job_id = chance.choice(self.submitted)
                with suppress(NotFound):
                    steps.cancel(self.place, job_id, owner)
            self.done.wait(0.02)

    def schedule(self, _: int) -> None:
        while not self.done.is_set():
            for duty in (jobs.release_due, jobs.expire_overdue, lambda session: jobs.requeue_orphans(session, 3)):
                with self.place.database.service() as session:
                    duty(session)

    def watch(self, expected: int) -> None:
        """End when all jobs have; a stranded one makes this fail."""
        try:
            while self.left() or len(self.submitted) < expected:
                assert time.monotonic() < self.deadline, f"{self.left()} jobs are stranded"
                self.done.wait(0.02)
        finally:
            self.done.set()

    def left(self) -> int:
        with self.place.database.service() as session:
            return session.scalar(text("SELECT count(*) FROM jobs WHERE state IN ('queued', 'running')"))

    def run(self) -> None:
        def guarded(role: Callable[[int], None], number: int) -> None:
            try:
                role(number)
            except BaseException:
                self.done.set()  # one thread's trouble ends the others
                raise

        roles = [(self.submit, number) for number in range(len(self.tenants))]
        roles += [(self.work, 0), (self.work, 1), (self.work, 2), (self.cancel, 3), (self.schedule, 4)]
        roles += [(self.watch, self.each * len(self.tenants))]
        with ThreadPoolExecutor(len(roles)) as pool:
            for thread in [pool.submit(guarded, role, number) for role, number in roles]:
                thread.result()


@pytest.fixture
def hammered(place: Place) -> Place:
    """A place in which every transition has met every other: none was lost, none waited in a circle."""
    Hammer(place, [place.tenant, *(steps.tenant(place) for _ in range(3))], each=60).run()
    return place


def test_after_the_hammer_every_account_is_closed(hammered: Place) -> None:
    with hammered.database.service() as session:
        states = dict(session.execute(text("SELECT state, count(*) FROM jobs GROUP BY state")).all())
        counters = session.execute(text("SELECT DISTINCT running, outstanding FROM lanes")).all()
        unsettled = session.scalar(text("SELECT count(*) FROM ledger WHERE settled_at IS NULL"))

    assert sum(states.values()) == 240
    assert not states.keys() & {"queued", "running"}
    assert counters == [(0, 0)]
    assert unsettled == 0
