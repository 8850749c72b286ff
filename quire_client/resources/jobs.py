"""Jobs: submit, look, wait, read, cancel, delete."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import TypedDict, Unpack
from uuid import uuid4

from quire_client.connection import Connection, read
from quire_client.errors import UnexpectedAnswerError
from quire_client.fields import JobFields, plain
from quire_client.job import Artifact, Job
from quire_client.retry import retry_after
from quire_client.values import Page
from quire_client.waiting import Look, follow


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
        return read(response, Job.parse)

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
        return read(self._connection.send("GET", "jobs", job_id), Job.parse)

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
        return read(response, lambda data: Page.parse(data, Job.parse))

    def cancel(self, job_id: str) -> Job:
        """End a job now; one that has ended already is returned as it is."""
        return read(self._connection.send("POST", "jobs", job_id, "cancel"), Job.parse)

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
        for job in self._follow(job_id, every_change=False, timeout=timeout):
            last = job
        return last

    def watch(self, job_id: str, timeout: float | None = None) -> Iterator[Job]:
        """Yield the job now and at each change, new text included, up to its end.

        Raises:
            WaitTimeoutError: `timeout` seconds have passed; the job goes on.

        """
        return self._follow(job_id, every_change=True, timeout=timeout)

    def _follow(self, job_id: str, *, every_change: bool, timeout: float | None) -> Iterator[Job]:
        def look(*, etag: str | None, hold: int, within: float | None, patient: bool) -> Look:
            headers = {"If-None-Match": etag} if etag else {}
            response = self._connection.send(
                "GET", "jobs", job_id, headers=headers, hold=hold, within=within, patient=patient
            )
            unchanged = response.status_code == HTTPStatus.NOT_MODIFIED
            return Look(
                job=None if unchanged else read(response, Job.parse),
                etag=response.headers.get("etag"),
                held="preference-applied" in response.headers,
                retry_after=retry_after(response),
            )

        return follow(job_id, look, self._connection.clock, every_change=every_change, timeout=timeout)
