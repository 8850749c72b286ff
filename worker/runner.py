"""The runner: takes claimed jobs through the engine, each on the thread of the task that claimed it."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Protocol
from uuid import UUID

from quire.crypto import DataKey, KeyRing
from quire.errors import ConfigurationError, QuireError, TuneFailed
from quire.jobs import Claimed, Outcome
from quire.pieces import Entry, Piece, as_entries, fold, is_cut
from quire.rules import Rules
from quire.spec import Spec
from quire.store.job import Run, State
from quire.telemetry import log_context
from quire.textlog import read
from worker.claimer import Claimer
from worker.creative import text
from worker.engine import EngineCancelled, EngineDead, EngineExpired, EngineStopped, MakeConstraint, Request
from worker.gate import Gate, GateClosed
from worker.sequences import Lost, Sequences, Submits
from worker.writer import JobLog, Writer

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.2  # how soon a job that lingers sees that the worker drains


class MakesMusic(Protocol):
    """Who does music jobs: `worker.studio.Studio`, which not every worker has what it needs for."""

    def make(
        self, job: Claimed, spec: Spec, written: Sequence[Piece], key: DataKey, sequences: Sequences
    ) -> list[Entry]: ...


class WritesBooks(Protocol):
    """Who does long-form jobs: `worker.novelist.Novelist`."""

    def write(
        self, job: Claimed, spec: Spec, written: Sequence[Piece], job_log: JobLog, sequences: Sequences
    ) -> None: ...


class Runner:
    """Serves slots.

    `encode` turns a prompt into token ids; `constrain` makes the constraint of some rules and a number of tokens;
    `mark_alone` notes that a job has the engine to itself, and is False if the job was lost; `on_dead` ends the
    process, for an engine that died is no longer of use; `novelist` does the long-form jobs; `studio` does music,
    if the model is for it.
    """

    def __init__(
        self,
        *,
        engine: Submits,
        encode: Callable[[str], Iterable[int]],
        constrain: Callable[[Rules, int], MakeConstraint],
        claimer: Claimer,
        writer: Writer,
        ring: KeyRing,
        max_attempts: int,
        mark_alone: Callable[[Claimed], bool],
        on_dead: Callable[[], None],
        novelist: WritesBooks,
        studio: MakesMusic | None = None,
    ) -> None:
        self._engine = engine
        self._encode = encode
        self._constrain = constrain
        self._claimer = claimer
        self._writer = writer
        self._ring = ring
        self._max_attempts = max_attempts
        self._mark_alone = mark_alone
        self._on_dead = on_dead
        self._novelist = novelist
        self._studio = studio
        self._gate = Gate()
        self._running: dict[Run, Sequences] = {}
        self._books: dict[Run, JobLog] = {}
        self._lock = threading.Lock()

    def serve(self, first: Claimed | None = None) -> None:
        """Run one job after the other until none can be claimed."""
        job = first or self._claimer.next()
        while job is not None:
            with log_context(job=str(job.id), tenant=str(job.tenant_id), attempt=job.attempts + 1):
                try:
                    self._run(job)
                finally:
                    self._claimer.release()
            job = self._claimer.next()

    def serve_on_thread(self, first: Claimed) -> None:
        """Serve a slot that no task asked for."""
        threading.Thread(target=self.serve, args=(first,), name="slot", daemon=True).start()

    def books(self) -> dict[Run, UUID]:
        """Return the books that may give way, each with its tenant.

        Those that have gained nothing since their claim are left alone: two that gave way to each other before
        they had written anything would both stand still.
        """
        with self._lock:
            return {run: job_log.job.tenant_id for run, job_log in self._books.items() if job_log.has_gained}

    def give_way(self, run: Run) -> None:
        """Put a book back with what it has written; it goes on exactly there."""
        log.info("book gives way", extra={"action": "book_gives_way", "job": str(run.job_id)})
        self.lose(run)

    def lose(self, run: Run) -> None:
        """Stop a run whose job is somebody else's by now, or another run's on this worker."""
        with self._lock:
            sequences = self._running.get(run)
        if sequences:
            sequences.cancel()

    def drain(self) -> None:
        """Stop all jobs; each goes back to the queue with what it has written."""
        self._gate.close()
        with self._lock:
            running = list(self._running.values())
        for sequences in running:
            sequences.cancel()

    def _run(self, job: Claimed) -> None:
        log.info("job started", extra={"action": "job_started"})
        job_log = self._writer.open(job)
        with ExitStack() as place:
            outcome = self._outcome(job, job_log, place)
            if outcome is None:
                return
            self._writer.finish(job_log, outcome)
            log.info("job left", extra={"action": "job_left", "state": outcome.state.value, "work": outcome.work})
            if self._enters_alone(job):
                self._linger(job_log)

    def _outcome(self, job: Claimed, job_log: JobLog, place: ExitStack) -> Outcome | None:
        """Run a job, in a place at the engine that is left with the stack; None if the engine died under it."""
        sequences = Sequences(self._engine, occupy=self._claimer.occupy)
        try:
            job_log.key = key = self._ring.unwrap(job.wrapped_key, job.tenant_id)
            spec = Spec.decode(key.open(job.body, f"job:{job.id}"))
            place.enter_context(self._entered(job, sequences))
            written = fold(read(job.log, key))
            job_log.cut = is_cut(written)
            self._generate(job, spec, written, job_log, sequences)
            return Outcome(State.SUCCEEDED, sequences.work, job_log.tokens, cut=job_log.cut)
        except (EngineCancelled, EngineStopped, GateClosed, Lost):
            return Outcome(State.QUEUED, sequences.work)
        except EngineExpired:
            return Outcome(State.EXPIRED, sequences.work, job_log.tokens)
        except EngineDead:
            # Who is to blame is not known. Left running, the jobs are the reaper's, who finds out.
            log.critical("engine died", extra={"action": "engine_died"}, exc_info=True)
            self._on_dead()
            return None
        except Exception as error:
            log.exception("job failed", extra={"action": "job_failed"})
            return Outcome(State.FAILED, sequences.work, job_log.tokens, error=_explain(error))

    def _linger(self, job_log: JobLog) -> None:
        """Stay until an outcome is stored: who enters next may kill the process, and this job would be blamed."""
        while not self._gate.closed and not job_log.settled.wait(LOOK_SECONDS):
            pass

    def _enters_alone(self, job: Claimed) -> bool:
        """Whether this may be the job that kills workers."""
        return job.attempts + 1 >= self._max_attempts

    @contextmanager
    def _entered(self, job: Claimed, sequences: Sequences) -> Iterator[None]:
        """Hold a place at the engine, alone if this may be the job that kills workers."""
        alone = self._enters_alone(job)
        with self._known(job.run, sequences), self._gate.enter(alone=alone):
            if alone and not self._mark_alone(job):
                raise Lost
            yield

    @contextmanager
    def _known(self, run: Run, sequences: Sequences) -> Iterator[None]:
        """Let a run be stopped, also while it waits at the gate."""
        with self._lock:
            self._running[run] = sequences
        try:
            yield
        finally:
            with self._lock:
                del self._running[run]

    @contextmanager
    def _as_book(self, job_log: JobLog) -> Iterator[None]:
        """Let a run be seen as one that gives way to others."""
        with self._lock:
            self._books[job_log.job.run] = job_log
        try:
            yield
        finally:
            with self._lock:
                del self._books[job_log.job.run]

    def _generate(
        self, job: Claimed, spec: Spec, written: list[Piece], job_log: JobLog, sequences: Sequences
    ) -> None:
        if spec.longform is not None:
            with self._as_book(job_log):
                self._novelist.write(job, spec, written, job_log, sequences)
            return
        if spec.music is not None:
            if self._studio is None or job_log.key is None:
                raise TuneFailed("The model of this job makes no music.")
            job_log.add(*self._studio.make(job, spec, written, job_log.key, sequences))
            return
        rules = spec.input.rules
        plan = text.requests(
            spec.parameters,
            seed=job.seed,
            prompt=tuple(self._encode(spec.input.prompt)),
            written=written,
            scope=str(job.tenant_id),
            deadline=None if job.seconds_left is None else time.monotonic() + job.seconds_left,
            constraint=self._constrain(rules, spec.parameters.max_tokens) if rules else None,
        )
        if text.keeps_all(spec.parameters):
            for draw, finished in sequences.run(plan, lambda draw, delta: job_log.add(text.entry(draw, delta))):
                job_log.add(Entry(draw, (), "", finish=finished.reason))
        elif not written:  # what was chosen before a crash was written at once, and stays
            job_log.add(*self._best(spec, plan, sequences))

    @staticmethod
    def _best(spec: Spec, plan: dict[int, Request], sequences: Sequences) -> list[Entry]:
        """Run all draws and return the best, whose text is settled only now."""
        entries: dict[int, list[Entry]] = {draw: [] for draw in plan}
        scores = {}
        for draw, finished in sequences.run(
            plan, lambda draw, delta: entries[draw].append(text.entry(draw, delta))
        ):
            entries[draw].append(Entry(draw, (), "", finish=finished.reason))
            scores[draw] = finished.mean_logprob
        draws = {draw: fold(parts)[0] for draw, parts in entries.items()}
        return as_entries(text.best(draws, scores, spec.parameters.n))


def _explain(error: Exception) -> dict[str, str]:
    """What the tenant may read of a failure: our own words, never a foreign exception's."""
    if isinstance(error, ConfigurationError):  # whose words are the operator's
        return {"code": error.code, "message": "The server cannot open the data of this job."}
    if isinstance(error, QuireError):
        return {"code": error.code, "message": error.detail}
    return {"code": "engine_error", "message": f"The engine failed on this job ({type(error).__name__})."}
