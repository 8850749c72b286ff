"""The writer: one thread that says everything the worker has to say to Postgres, in batches.

Running jobs hand it text as it comes. About once a second it commits what all of them have gained, in one fenced
transaction; an outcome goes at once, with the text before it. Jobs whose fence no longer matches are dropped and
told of. While Postgres is away everything stays in memory and decoding goes on; what may still be written when
it is back, the fences decide.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from uuid import UUID

from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from quire.crypto import DataKey
from quire.jobs import Claimed, Outcome, Report
from quire.pieces import Entry, as_entries, fold
from quire.store.chunk import START, Position
from quire.textlog import chunk_row

log = logging.getLogger(__name__)

RETRY_SECONDS = 0.5
Commit = Callable[[Sequence[Report]], set[UUID]]


class JobLog:
    """What one running job has written and not yet committed. Filled by the engine's thread."""

    def __init__(self, job: Claimed) -> None:
        self.job = job
        self.key: DataKey | None = None  # must be set before anything is added
        self._lock = threading.Lock()
        self._pending: list[Entry] = []
        self._taken: list[Entry] = []
        self._end = _end_of(job)
        self.tokens = self._end.offset  # delivered so far, earlier claims' included
        self.outcome: Outcome | None = None

    def add(self, entry: Entry) -> None:
        with self._lock:
            self._pending.append(entry)
            self.tokens += len(entry.ids)

    def take(self) -> Report:
        """Return what is to be committed: until `committed`, the same again with what came since."""
        with self._lock:
            self._taken += self._pending
            self._pending = []
            outcome = self.outcome
        rows = []
        if self._taken and self.key:
            gained = as_entries(fold(self._taken))
            rows = [chunk_row(self.job.id, self.job.tenant_id, self.key, self._end, gained)]
        return Report(self.job.id, self.job.fence, rows, outcome)

    def committed(self) -> None:
        gained = sum(len(entry.ids) for entry in self._taken)
        self._end = Position(self._end.revision, self._end.offset + gained)
        self._taken = []


class Writer:
    """Commits the logs of all running jobs. `on_lost` is called for a job that is somebody else's by now."""

    def __init__(
        self,
        commit: Commit,
        *,
        flush_seconds: float,
        notify: Callable[[list[UUID]], None],
        on_lost: Callable[[UUID], None],
    ) -> None:
        self._commit = commit
        self._flush_seconds = flush_seconds
        self._notify = notify
        self._on_lost = on_lost
        self._logs: dict[UUID, JobLog] = {}
        self._changed = threading.Condition()
        self._ended = 0  # logs with an outcome, which are committed without waiting for the next flush
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def open(self, job: Claimed) -> JobLog:
        """Begin to write for a job that was claimed."""
        entry = JobLog(job)
        with self._changed:
            self._logs[job.id] = entry
        return entry

    def finish(self, entry: JobLog, outcome: Outcome) -> None:
        """Hand over a job's outcome; it is committed soon, after the job's text."""
        with self._changed:
            entry.outcome = outcome
            self._ended += 1
            self._changed.notify()

    def close(self, timeout: float) -> None:
        """Commit what is left, as far as the time allows."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(timeout)

    def _run(self) -> None:
        flushed = time.monotonic()
        while True:
            with self._changed:
                left = flushed + self._flush_seconds - time.monotonic()
                self._changed.wait_for(lambda: self._ended or self._closed, timeout=max(0.0, left))
                closed = self._closed
            everything = closed or time.monotonic() - flushed >= self._flush_seconds
            try:
                self.flush(everything=everything)
            except (OperationalError, PoolTimeout) as error:
                log.warning("flush failed", extra={"action": "flush_failed", "error": str(error)})
                time.sleep(RETRY_SECONDS)
                continue
            if everything:
                flushed = time.monotonic()
            if closed:
                return

    def flush(self, *, everything: bool) -> None:
        """Commit once: all logs, or only those that have ended.

        Logs without news are sent too, because the answer tells which jobs are lost.
        """
        with self._changed:
            logs = [entry for entry in self._logs.values() if everything or entry.outcome]
            self._ended = 0
        if not logs:
            return
        try:
            self._commit_logs(logs)
        except (OperationalError, PoolTimeout):
            with self._changed:
                self._ended = sum(entry.outcome is not None for entry in self._logs.values())
            raise
        except SQLAlchemyError:
            # Something in one of them cannot be written. Find it, so that it fails alone.
            log.exception("batch refused", extra={"action": "batch_refused", "jobs": len(logs)})
            for entry in logs:
                self._commit_alone(entry)

    def _commit_alone(self, entry: JobLog) -> None:
        try:
            self._commit_logs([entry])
        except (OperationalError, PoolTimeout):
            raise
        except SQLAlchemyError:
            log.exception("report refused", extra={"action": "report_refused", "job": str(entry.job.id)})
            self._forget([entry.job.id])
            self._on_lost(entry.job.id)

    def _commit_logs(self, logs: Sequence[JobLog]) -> None:
        reports = [entry.take() for entry in logs]
        lost = self._commit(reports)
        for entry in logs:
            entry.committed()
        self._forget([report.job_id for report in reports if report.outcome or report.job_id in lost])
        self._notify([report.job_id for report in reports if report.outcome or report.rows])
        for job_id in lost:
            log.info("job lost", extra={"action": "job_lost", "job": str(job_id)})
            self._on_lost(job_id)

    def _forget(self, ended: list[UUID]) -> None:
        with self._changed:
            for job_id in ended:
                self._logs.pop(job_id, None)


def _end_of(job: Claimed) -> Position:
    if not job.log:
        return START
    last = job.log[-1]
    return Position(last.revision, last.offset + last.tokens)
