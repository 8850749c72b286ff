"""The writer: one thread that says everything the worker has to say to Postgres, in batches.

Running jobs hand it text as it comes. About once a second it commits what all of them have gained, in one fenced
transaction; an outcome goes at once, with the text before it, and so does, every tenth of a second, the text of
jobs that somebody is reading. Runs whose fence no longer matches are dropped and
told of. While Postgres is away everything stays in memory and decoding goes on; what may still be written when
it is back, the fences decide.

A commit whose answer was lost may have happened. So what was sent is sent again as it was, until it is answered,
and only then what came since.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from uuid import UUID

from sqlalchemy.exc import InterfaceError, InternalError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from quire.crypto import DataKey
from quire.fairness import work_of_claim
from quire.jobs import Claimed, Outcome, Report
from quire.pieces import Entry, as_entries, fold, is_cut
from quire.store.chunk import START, Position
from quire.store.job import Run, State
from quire.textlog import chunk_row

log = logging.getLogger(__name__)

RETRY_SECONDS = 0.5
READ_SECONDS = 0.1  # how often the text of a job is committed that somebody is reading
BELIEVED_SECONDS = 3.0  # that somebody reads a job, after it was last told
Commit = Callable[[Sequence[Report]], set[Run]]

# Postgres's trouble, not the report's: the connection, a lock, a restart, a server that is read-only for now.
AWAY = (OperationalError, InterfaceError, InternalError, PoolTimeout)
REFUSED = {"code": "internal_error", "message": "What the job wrote could not be stored."}


class JobLog:
    """What one running job has written and not yet committed. Filled by the engine's thread."""

    def __init__(self, job: Claimed) -> None:
        self.job = job
        self.key: DataKey | None = None  # must be set before anything is added
        self._lock = threading.Lock()
        self._pending: list[Entry] = []
        self._taken: list[Entry] = []
        self._begun = self._end = _end_of(job)
        self.tokens = self._end.offset  # delivered so far, earlier claims' included
        self.cut = False  # a piece ended at its most tokens
        self.meter: Callable[[], int] | None = None  # tells the work so far, of a job that is charged as it goes
        self._metered = 0  # of it, what is charged
        self._turn = 0  # and what is being charged
        self.outcome: Outcome | None = None
        self.settled = threading.Event()  # nothing is left to be said of this run

    def add(self, *entries: Entry) -> None:
        """Add what was written; several entries are committed together or not at all."""
        with self._lock:
            self._pending += entries
            self.tokens += _tokens(entries)
            self.cut = self.cut or is_cut(entries)

    def take(self) -> Report:
        """Return what is to be committed: until `committed`, the same row again; the outcome after all text.

        Entries without a token wait for one, or for the end: a row without tokens would stand where the next does.
        """
        with self._lock:
            if not self._taken and self._is_ready():
                self._taken, self._pending = self._pending, []
            outcome = None if self._pending else self.outcome
        if self.meter and not self._turn:
            self._turn = self.meter() - self._metered
        if outcome:
            outcome = replace(outcome, work=outcome.work - self._metered - self._turn)
        rows = []
        if self._taken and self.key:
            gained = as_entries(fold(self._taken))
            rows = [chunk_row(self.job.id, self.job.tenant_id, self.key, self._end, gained)]
        return Report(self.job.id, self.job.fence, rows, outcome, self._turn if self.meter else None)

    def _is_ready(self) -> bool:
        if _tokens(self._pending):
            return True
        if self.outcome and self.outcome.state is State.QUEUED:
            self._pending = []  # the next run comes to the same again
        return self.outcome is not None

    @property
    def has_gained(self) -> bool:
        """Whether this run has committed tokens."""
        return self._end.offset > self._begun.offset

    def has_text(self) -> bool:
        """Whether there is anything that a reader could be shown."""
        with self._lock:
            return bool(self._taken or _tokens(self._pending))

    def committed(self) -> None:
        self._end = Position(self._end.revision, self._end.offset + _tokens(self._taken))
        self._taken = []
        self._metered, self._turn = self._metered + self._turn, 0

    def refusal(self) -> Report:
        """Return what is said of a job whose text cannot be stored: it failed, with what is stored by now."""
        work = 0 if self.meter else work_of_claim(self.job.prompt_tokens, self.tokens)
        failed = Outcome(State.FAILED, work, self._end.offset, error=REFUSED)
        return Report(self.job.id, self.job.fence, (), failed)


class Writer:
    """Commits the logs of all running jobs. `on_lost` is called for a run that is nobody's business by now."""

    def __init__(
        self,
        commit: Commit,
        *,
        flush_seconds: float,
        notify: Callable[[list[UUID]], None],
        on_lost: Callable[[Run], None],
    ) -> None:
        self._commit = commit
        self._flush_seconds = flush_seconds
        self._notify = notify
        self._on_lost = on_lost
        self._logs: dict[Run, JobLog] = {}
        self._read: dict[UUID, float] = {}  # jobs, and until when somebody is taken to read them
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def open(self, job: Claimed) -> JobLog:
        """Begin to write for a job that was claimed; again, for the same run, return what was begun."""
        with self._changed:
            return self._logs.setdefault(job.run, JobLog(job))

    def runs(self) -> set[Run]:
        """Every run that was begun and of which not everything is committed."""
        with self._changed:
            return set(self._logs)

    def attend(self, job_id: UUID) -> None:
        """Take note that somebody reads a job, here or on another worker; forgotten unless told again."""
        with self._changed:
            self._read[job_id] = time.monotonic() + BELIEVED_SECONDS

    def finish(self, entry: JobLog, outcome: Outcome) -> None:
        """Hand over a job's outcome; it is committed soon, after the job's text."""
        with self._changed:
            entry.outcome = outcome
            self._changed.notify()

    def close(self, timeout: float) -> None:
        """Commit what is left, and the outcomes of the runs that are being stopped, as far as the time allows."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(timeout)

    def _run(self) -> None:
        flushed = time.monotonic()
        while not self._is_done():
            with self._changed:
                left = flushed + self._flush_seconds - time.monotonic()
                pause = min(max(0.0, left), READ_SECONDS)
                self._changed.wait_for(lambda: self._is_done() or self._has_outcomes(), timeout=pause)
            everything = time.monotonic() - flushed >= self._flush_seconds
            try:
                self.flush(everything=everything)
            except SQLAlchemyError as error:
                log.warning("flush failed", extra={"action": "flush_failed", "error": str(error)})
                time.sleep(RETRY_SECONDS)
                continue
            if everything:
                flushed = time.monotonic()

    def _is_done(self) -> bool:
        return self._closed and not self._logs

    def _has_outcomes(self) -> bool:
        """Whether a run has ended: that is committed without waiting for the next flush."""
        return any(entry.outcome for entry in self._logs.values())

    def flush(self, *, everything: bool) -> None:
        """Commit once: all logs, or only those that have ended, and those with text that somebody waits for.

        Logs without news are sent too, because the answer tells which runs are lost.
        """
        with self._changed:
            now = time.monotonic()
            self._read = {job: until for job, until in self._read.items() if until > now}
            logs = [
                entry for entry in self._logs.values() if everything or entry.outcome or self._is_awaited(entry)
            ]
        if not logs:
            return
        try:
            self._commit_logs(logs)
        except AWAY:
            raise
        except SQLAlchemyError:
            # Something in one of them cannot be written. Find it, so that it fails alone.
            log.exception("batch refused", extra={"action": "batch_refused", "jobs": len(logs)})
            for entry in logs:
                self._commit_alone(entry)

    def _is_awaited(self, entry: JobLog) -> bool:
        return entry.job.id in self._read and entry.has_text()

    def _commit_alone(self, entry: JobLog) -> None:
        try:
            self._commit_logs([entry])
        except AWAY:
            raise
        except SQLAlchemyError:
            log.exception("report refused", extra={"action": "report_refused", "job": str(entry.job.id)})
            self._commit([entry.refusal()])
            self._forget([entry.job.run])
            self._notify([entry.job.id])
            self._on_lost(entry.job.run)

    def _commit_logs(self, logs: Sequence[JobLog]) -> None:
        reports = [entry.take() for entry in logs]
        lost = self._commit(reports)
        for entry in logs:
            entry.committed()
        self._forget(report.run for report in reports if report.outcome or report.run in lost)
        self._notify([report.job_id for report in reports if report.outcome or report.rows])
        for run in lost:
            log.info("job lost", extra={"action": "job_lost", "job": str(run.job_id)})
            self._on_lost(run)

    def _forget(self, runs: Iterable[Run]) -> None:
        with self._changed:
            for run in runs:
                if entry := self._logs.pop(run, None):
                    entry.settled.set()


def _end_of(job: Claimed) -> Position:
    if not job.log:
        return START
    last = job.log[-1]
    return Position(last.revision, last.offset + last.tokens)


def _tokens(entries: Iterable[Entry]) -> int:
    return sum(len(entry.ids) for entry in entries)
