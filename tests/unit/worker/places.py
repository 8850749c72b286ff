"""The writer and the runner, each with everything it speaks to."""

from collections.abc import Callable
from concurrent.futures import Future
from uuid import UUID

from quire.jobs import Claimed, Outcome
from quire.pieces import Entry, Piece
from quire.rules import Rules
from quire.store.job import Run
from quire.testing import RING
from tests.unit.worker.fakes import ByteTokenizer, FakeClaimer, FakeEngine, FakePostgres, byte_ids
from tests.waiting import in_background, until
from worker.engine import MakeConstraint
from worker.novelist import Novelist
from worker.runner import Runner
from worker.writer import JobLog, Writer


class Desk:
    """A writer, with everything it speaks to."""

    def __init__(self, flush_seconds: float = 3600) -> None:
        self.postgres = FakePostgres()
        self.notices: list[UUID] = []
        self.lost: list[Run] = []
        self.writer = Writer(
            self.postgres.commit,
            flush_seconds=flush_seconds,
            notify=self.notices.extend,
            on_lost=self.lost.append,
        )

    def open(self, job: Claimed) -> JobLog:
        log = self.writer.open(job)
        log.key = RING.unwrap(job.wrapped_key, job.tenant_id)
        return log

    def flush(self) -> None:
        self.writer.flush(everything=True)


def add(log: JobLog, text: str) -> None:
    log.add(Entry(0, byte_ids(text), text))


class Anything:
    """A constraint that allows all."""

    def allowed(self) -> None:
        return None

    def accept(self, token: int) -> None:
        pass


class Shop:
    """A runner, with everything it speaks to."""

    def __init__(self, engine: FakeEngine, *, mark_alone: Callable[[Claimed], bool] = lambda _: True) -> None:
        self.engine = engine
        self.postgres = FakePostgres()
        self.claimer = FakeClaimer()
        self.marked: list[Claimed] = []
        self.died = 0
        self.asked: list[tuple[Rules, int]] = []
        self.writer = Writer(
            self.postgres.commit,
            flush_seconds=3600,
            notify=lambda _: None,
            on_lost=self._lose,
        )
        self.runner = Runner(
            engine=engine,
            encode=byte_ids,
            constrain=self._constrain,
            claimer=self.claimer,
            writer=self.writer,
            ring=RING,
            max_attempts=3,
            mark_alone=lambda job: self.marked.append(job) or mark_alone(job),
            on_dead=self._die,
            novelist=Novelist(ByteTokenizer(), context=256, vocabulary=257),
        )

    def _constrain(self, rules: Rules, max_tokens: int) -> MakeConstraint:
        self.asked.append((rules, max_tokens))
        return Anything

    def _lose(self, run: Run) -> None:  # the writer is made before the runner
        self.runner.lose(run)

    def _die(self) -> None:
        self.died += 1

    def begin(self, job: Claimed) -> Future[None]:
        """Run one job on a thread of its own."""
        return in_background(self.runner.serve, job)

    def serve(self, job: Claimed) -> Outcome | None:
        """Run one job to its end; returns its outcome as it was committed."""
        self.end(self.begin(job))
        return self.flushed(job)

    def end(self, served: Future[None]) -> None:
        """Store outcomes until a job has left."""

        def left() -> bool:
            self.writer.flush(everything=False)
            return served.done()

        until(left)
        served.result()

    def flushed(self, job: Claimed) -> Outcome | None:
        self.writer.flush(everything=True)
        return self.postgres.outcomes.get(job.run)

    def pieces(self, job: Claimed) -> list[Piece]:
        return self.postgres.pieces(job)
