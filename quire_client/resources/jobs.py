"""Jobs: submit, look, wait, read, cancel, delete."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime
from functools import partial
from math import ceil
from pathlib import Path
from typing import TypedDict, Unpack
from uuid import uuid4

from quire_client.connection import Connection, read
from quire_client.errors import UnexpectedAnswerError
from quire_client.events import Draft, Event, ProgressEvent, TruncateEvent
from quire_client.fields import JobFields, plain
from quire_client.job import Artifact, Job
from quire_client.retry import retry_after
from quire_client.shape import Json
from quire_client.streaming import QUIET_SECONDS, follow_events
from quire_client.values import Page
from quire_client.waiting import Look, wait_for_end


class JobFilters(TypedDict, total=False):
    """Which jobs a list shows. `limit` is the size of a page, 1 to 100."""

    state: str | Sequence[str] | None
    kind: str | None
    model: str | None
    created_after: datetime | str | None
    created_before: datetime | str | None
    limit: int | None


class Jobs:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def submit(
        self, prompt: str | None = None, *, idempotency_key: str | None = None, **fields: Unpack[JobFields]
    ) -> Job:
        """Hand in a job with a `prompt` or `form`, or of kind music with a `style`; returns with its seed drawn.

        Retries are safe: every try carries the same `Idempotency-Key`, a fresh one unless given.

        Raises:
            BadRequestError: a field is wrong; `fields` of the error names it.
            KeyReusedError: the `idempotency_key` belongs to another body.
            GoneError: the job of that `idempotency_key` has been deleted.
            QuotaExceededError: the tenant has as many jobs waiting as it may.
            UnavailableError: no worker has ever loaded the model, or the server is down.

        """
        response = self._connection.send(
            "POST",
            "jobs",
            body=plain({"prompt": prompt, **fields}),
            headers={"Idempotency-Key": idempotency_key or str(uuid4())},
        )
        return read(response, self._job)

    def submit_many(
        self, jobs: Sequence[Mapping[str, object]], *, idempotency_key: str | None = None
    ) -> tuple[str, ...]:
        """Hand in many jobs in one request, each with the fields of `submit`; returns their ids in that order.

        All are queued, or none. Retries are safe, as those of `submit`.

        Raises:
            BadRequestError: a field is wrong; `fields` of the error names it, as `jobs.17.max_tokens`.
            KeyReusedError: the `idempotency_key` belongs to another body.
            QuotaExceededError: not all of them fit the tenant's quotas.
            UnavailableError: no worker has ever loaded a model, or the server is down.

        """
        response = self._connection.send(
            "POST",
            "jobs",
            "bulk",
            body={"jobs": [plain(job) for job in jobs]},
            headers={"Idempotency-Key": idempotency_key or str(uuid4())},
        )
        return read(response, lambda data: tuple(data["jobs"]))

    def get(self, job_id: str) -> Job:
        return read(self._connection.send("GET", "jobs", job_id), self._job)

    def list(self, **filters: Unpack[JobFilters]) -> Iterator[Job]:
        """Yield every job, newest first, fetching pages as they are needed."""
        cursor = None
        while True:
            page = self.page(after=cursor, **filters)
            yield from page.data
            cursor = page.next_cursor
            if not page.has_more or cursor is None:
                return

    def page(self, *, after: str | None = None, **filters: Unpack[JobFilters]) -> Page[Job]:
        """Return one page of the list; `after` is the `next_cursor` of the page before."""
        state = filters.get("state")
        params = plain({**filters, "state": [state] if isinstance(state, str) else state, "after": after})
        response = self._connection.send("GET", "jobs", params=params)
        return read(response, lambda data: Page.parse(data, self._job))

    def cancel(self, job_id: str) -> Job:
        """End a job now; one that has ended already is returned as it is."""
        return read(self._connection.send("POST", "jobs", job_id, "cancel"), self._job)

    def pause(self, job_id: str) -> Job:
        """Hold a job, queued or running; what is written stays.

        Raises:
            ConflictError: it is over.

        """
        return read(self._connection.send("POST", "jobs", job_id, "pause"), self._job)

    def resume(self, job_id: str) -> Job:
        """Let a paused job go on, exactly where it was.

        Raises:
            ConflictError: it is over.

        """
        return read(self._connection.send("POST", "jobs", job_id, "resume"), self._job)

    def delete(self, job_id: str) -> None:
        """Remove a job that has ended, with its text.

        Raises:
            ConflictError: it is queued or running; cancel it first.

        """
        self._connection.send("DELETE", "jobs", job_id)

    def output(self, job_id: str, piece: int | None = None) -> str:
        """Return the finished text: one piece by its index, or all with `* * *` between them.

        Raises:
            ConflictError: nothing is finished yet.

        """
        return self._connection.send("GET", "jobs", job_id, "output", params={"piece": piece}).text

    def book(self, job_id: str, file_format: str = "markdown") -> bytes:
        """Return a finished book as a file: markdown, text, html or epub.

        Raises:
            ConflictError: it is no book, or not over.

        """
        return self._connection.send("GET", "jobs", job_id, "book", params={"format": file_format}).content

    def artifacts(self, job_id: str) -> tuple[Artifact, ...]:
        """Return the files that a job has made; none before it is over."""
        response = self._connection.send("GET", "jobs", job_id, "artifacts")
        return read(response, lambda data: tuple(Artifact.parse(each) for each in data["data"]))

    def download(self, job_id: str, name: str) -> bytes:
        """Return one file of a job, checked against the checksum that the server tells.

        Raises:
            NotFoundError: the job has made none of that name.
            ConflictError: the job is not over, or the file could not be made.
            UnexpectedAnswerError: what came is not what the server has.

        """
        response = self._connection.send("GET", "jobs", job_id, "artifacts", name)
        if hashlib.sha256(response.content).hexdigest() != response.headers.get("etag", "").strip('"'):
            raise UnexpectedAnswerError(f"{name} of {job_id} arrived damaged: its checksum is another")
        return response.content

    def save(self, job_id: str, folder: Path) -> tuple[Path, ...]:
        """Download every file that a job has made into a folder, which is made if needed; returns their paths."""
        folder.mkdir(parents=True, exist_ok=True)
        saved = []
        for artifact in self.artifacts(job_id):
            if artifact.unavailable is None:
                # The name comes from the server: it must not lead anywhere else.
                path = folder / Path(artifact.name).name
                path.write_bytes(self.download(job_id, artifact.name))
                saved.append(path)
        return tuple(saved)

    def wait(self, job_id: str, timeout: float | None = None) -> Job:
        """Return the job once it is terminal, whatever the end; see `Job.raise_for_state`.

        Raises:
            WaitTimeoutError: `timeout` seconds have passed; the job goes on.

        """
        return wait_for_end(job_id, partial(self._look, job_id), self._connection.clock, timeout=timeout)

    def watch(self, job_id: str, timeout: float | None = None) -> Iterator[Job]:
        """Yield the job now and at each change, new text included, up to its end.

        Raises:
            WaitTimeoutError: `timeout` seconds have passed; the job goes on.

        """
        first = self.get(job_id)
        if first.is_terminal:
            yield first
            return
        draft = Draft(first.without_text())  # all its text comes with the events
        for event in self.stream(job_id, timeout=timeout):
            job = draft.apply(event)
            if not isinstance(event, ProgressEvent | TruncateEvent):  # others follow at once
                yield self.get(job_id) if job.is_terminal else job

    def stream(self, job_id: str, *, after: str | None = None, timeout: float | None = None) -> Iterator[Event]:
        """Yield what happens to a job, from its beginning or behind the event of the id `after`, up to its end.

        It comes back by itself when the connection breaks, and no text is lost or told twice.

        Raises:
            WaitTimeoutError: `timeout` seconds have passed; the job goes on.

        """

        def listen(
            after: str | None, hold: float | None, *, patient: bool
        ) -> AbstractContextManager[Iterator[str]]:
            return self._connection.lines(
                "jobs",
                job_id,
                "events",
                params={"after": after},
                hold=ceil(hold or 0),
                within=hold,
                quiet=QUIET_SECONDS,
                patient=patient,
            )

        return follow_events(job_id, listen, self._connection.clock, after=after, timeout=timeout)

    def _look(self, job_id: str, hold: int, within: float | None, *, patient: bool) -> Look:
        response = self._connection.send("GET", "jobs", job_id, hold=hold, within=within, patient=patient)
        return Look(
            job=read(response, self._job),
            held="preference-applied" in response.headers,
            retry_after=retry_after(response),
        )

    def _job(self, data: Json) -> Job:
        job = Job.parse(data)
        return replace(job, follow=partial(self.stream, job.id))
