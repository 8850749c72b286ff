"""Stands for a worker: claims jobs and writes text, through the same door as the real one."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from uuid import UUID

from quire import ids, jobs
from quire.artifacts import Made, sealed
from quire.jobs import Claimed, Outcome, Report
from quire.pieces import Entry, is_cut
from quire.store.chunk import Position
from quire.store.job import State
from quire.testing import MODEL, Place, add_worker, data_key
from quire.textlog import chunk_row


class FakeWorker:
    def __init__(self, place: Place, model: str = MODEL) -> None:
        self._place = place
        self._model = model
        with place.database.service() as session:
            self.id = add_worker(session, model)
        self._claimed: dict[UUID, Claimed] = {}
        self._written: dict[UUID, int] = {}

    def claim(self, k: int = 8) -> list[UUID]:
        with self._place.database.service() as session:
            won = jobs.claim(session, model=self._model, worker_id=self.id, numerics="fake", k=k)
        self._claimed |= {job.id: job for job in won}
        return [job.id for job in won]

    def keep(self, job_id: str, *made: Made) -> None:
        """Keep files of a running job."""
        job = ids.parse(ids.JOB, job_id)
        assert job is not None
        tenant = self._place.tenant
        files = [sealed(each, job_id=job, tenant_id=tenant.id, key=data_key(tenant)) for each in made]
        with self._place.database.service() as session:
            assert jobs.keep_artifacts(session, self._claimed[job].run, files)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Do every job that comes while this is open, from another thread."""
        leave = threading.Event()

        def work() -> None:
            while not leave.wait(0.02):
                for job in self.claim():
                    self.finish(ids.show(ids.JOB, job), words("The end.", finish="stop"))

        with ThreadPoolExecutor(1) as pool:
            working = pool.submit(work)
            try:
                yield
            finally:
                leave.set()
                working.result(10)

    def write(self, job_id: str, *entries: Entry) -> None:
        """Commit new text of a running job."""
        self._report(job_id, entries, None)

    def finish(self, job_id: str, *entries: Entry, state: State = State.SUCCEEDED) -> None:
        self._report(job_id, entries, state)

    def _report(self, job_id: str, entries: tuple[Entry, ...], state: State | None) -> None:
        job = ids.parse(ids.JOB, job_id)
        assert job is not None
        offset = self._written.get(job, 0)
        total = offset + sum(len(entry.ids) for entry in entries)
        key = data_key(self._place.tenant)
        rows = [chunk_row(job, self._place.tenant.id, key, Position(1, offset), entries)] if entries else []
        error = {"code": "broken", "message": "It broke."} if state is State.FAILED else None
        cut = is_cut(entries)
        outcome = Outcome(state, work=total, completion_tokens=total, error=error, cut=cut) if state else None
        with self._place.database.service() as session:
            lost = jobs.commit(session, [Report(job, self._claimed[job].fence, rows, outcome)])
        assert not lost
        self._written[job] = total


def words(text: str, piece: int = 0, finish: str | None = None) -> Entry:
    """Return an entry of one token for each character."""
    return Entry(piece, tuple(text.encode()), text, finish)
