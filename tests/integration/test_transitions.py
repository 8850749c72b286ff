"""Every order of transitions, against a model of what each of them should do."""

from dataclasses import dataclass, replace
from uuid import UUID

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule
from sqlalchemy import text

from quire import jobs
from quire.database import Database
from quire.jobs import Claimed, Outcome
from quire.store.job import State
from quire.testing import MODEL, settle_in
from tests.integration import steps

MAX_ATTEMPTS = 3


@dataclass(frozen=True)
class Expected:
    """A job as it should be."""

    state: State = State.QUEUED
    fence: int = 0
    attempts: int = 0
    tokens: int = 0  # in its log
    started: bool = False


class Transitions(RuleBasedStateMachine):
    """Some jobs of one tenant, one worker at a time, and everything that may happen to them."""

    database: Database

    claims = Bundle("claims")

    @initialize()
    def begin(self) -> None:
        self.place = settle_in(self.database)
        with self.database.service() as session:  # models are not made per example, so what was left must go
            session.execute(text("UPDATE jobs SET state = 'cancelled' WHERE state IN ('queued', 'running')"))
        self.worker = steps.worker(self.place)
        self.expected: dict[UUID, Expected] = {}

    @rule()
    def submit(self) -> None:
        self.expected[steps.queued(self.place).id] = Expected()

    @rule(target=claims)
    def claim(self) -> Claimed | None:
        taken = steps.claim(self.place, self.worker)
        if not taken:
            assert all(job.state != State.QUEUED for job in self.expected.values())
            return None
        (claimed,) = taken
        before = self.expected[claimed.id]
        assert before.state == State.QUEUED
        self.expected[claimed.id] = replace(before, state=State.RUNNING, fence=before.fence + 1, started=True)
        return claimed

    def holds(self, claimed: Claimed) -> bool:
        job = self.expected[claimed.id]
        return job.state == State.RUNNING and job.fence == claimed.fence

    def written(self, claimed: Claimed, outcome: Outcome | None) -> bool:
        """Report three tokens more; whether they should be written, and were."""
        job = self.expected[claimed.id]
        at = steps.Position(1, job.tokens)
        lost = steps.commit(self.place, steps.report(claimed, "abc", outcome, at))
        assert lost == (set() if self.holds(claimed) else {claimed.id})
        return not lost

    @rule(claimed=claims)
    def write(self, claimed: Claimed | None) -> None:
        if claimed and self.written(claimed, None):
            job = self.expected[claimed.id]
            self.expected[claimed.id] = replace(job, tokens=job.tokens + 3)

    @rule(claimed=consumes(claims), state=st.sampled_from([State.SUCCEEDED, State.FAILED, State.QUEUED]))
    def finish(self, claimed: Claimed | None, state: State) -> None:
        if not claimed:
            return
        tokens = self.expected[claimed.id].tokens + 3
        billed = tokens if state.is_terminal else 0
        if self.written(claimed, Outcome(state, work=7, completion_tokens=billed)):
            self.expected[claimed.id] = replace(self.expected[claimed.id], state=state, tokens=tokens)

    @rule(claimed=claims)
    def cancel(self, claimed: Claimed | None) -> None:
        if claimed:
            steps.cancel(self.place, claimed.id)
            self.decree(claimed.id, State.CANCELLED)

    @rule()
    def expire_all(self) -> None:
        with self.database.service() as session:
            session.execute(text("UPDATE jobs SET deadline = clock_timestamp() WHERE tenant_id = :id"), self.mine)
        with self.database.service() as session:
            jobs.expire_overdue(session)
        for job_id in self.expected:
            self.decree(job_id, State.EXPIRED)

    @rule()
    def crash(self) -> None:
        steps.die(self.place, self.worker)
        steps.requeue(self.place, MAX_ATTEMPTS)
        self.worker = steps.worker(self.place)
        for job_id, job in self.expected.items():
            if job.state == State.RUNNING:
                attempts = min(job.attempts + 1, MAX_ATTEMPTS - 1)
                self.expected[job_id] = replace(job, state=State.QUEUED, fence=job.fence + 1, attempts=attempts)

    @property
    def mine(self) -> dict[str, UUID]:
        return {"id": self.place.tenant.id}

    def decree(self, job_id: UUID, state: State) -> None:
        job = self.expected[job_id]
        if not job.state.is_terminal:
            self.expected[job_id] = replace(job, state=state, fence=job.fence + 1)

    @invariant()
    def every_job_is_as_expected(self) -> None:
        query = text("""
            SELECT jobs.id, state, fence, attempts, jobs.completion_tokens, settled_at IS NOT NULL AS settled,
                ledger.prompt_tokens AS billed_prompt, ledger.completion_tokens AS billed,
                coalesce((SELECT sum(tokens) FROM chunks WHERE job_id = jobs.id), 0) AS logged
            FROM jobs JOIN ledger ON ledger.job_id = jobs.id WHERE jobs.tenant_id = :id
        """)
        with self.database.service() as session:
            rows = session.execute(query, self.mine).all()
        for row in rows:
            job = self.expected[row.id]
            assert (row.state, row.fence, row.attempts) == (job.state, job.fence, job.attempts)
            assert row.logged == job.tokens
            assert row.settled == job.state.is_terminal
            if row.settled:
                assert row.completion_tokens == row.billed == job.tokens
                assert row.billed_prompt == (4 if job.started else 0)
        assert len(rows) == len(self.expected)

    @invariant()
    def the_lane_counts_what_runs(self) -> None:
        running = sum(job.state == State.RUNNING for job in self.expected.values())
        query = text("SELECT coalesce(sum(running), 0) FROM lanes WHERE tenant_id = :id AND model = :model")
        with self.database.service() as session:
            assert session.scalar(query, self.mine | {"model": MODEL}) == running


def test_transitions_do_what_the_model_says_in_any_order(database: Database) -> None:
    class Here(Transitions):
        pass

    Here.database = database
    Here.TestCase.settings = settings(
        max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
    )
    Here.TestCase("runTest").runTest()
