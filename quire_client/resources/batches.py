"""Batches: submit, look, wait, read results, cancel, run again, delete."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypedDict, Unpack
from uuid import uuid4

from quire_client.batch import Batch, BatchResult
from quire_client.clock import Deadline
from quire_client.connection import Connection, read
from quire_client.errors import WaitTimeoutError
from quire_client.fields import plain
from quire_client.values import Page

LOOK_SECONDS = 1.0
UPLOAD_SECONDS = 600.0  # for a file of 200 MB to arrive and be checked
LARGEST_PAGE = 1000


class BatchFields(TypedDict, total=False):
    """What holds for a batch as a whole. What is left out, or None, is the server's default."""

    template: Mapping[str, object] | None  # a job with {{placeholders}}, for rows
    priority: int | None  # of its jobs; single jobs have 0
    max_running: int | None  # jobs of it at once
    max_tokens: int | None  # that it may be billed
    deadline: datetime | str | None
    retention_hours: int | None
    metadata: Mapping[str, str] | None


class Batches:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def submit(
        self,
        items: Sequence[Mapping[str, object]] | None = None,
        *,
        rows: Sequence[Mapping[str, object]] | None = None,
        file: Path | None = None,
        idempotency_key: str | None = None,
        **fields: Unpack[BatchFields],
    ) -> Batch:
        """Hand in many jobs: `items`, each with the fields of a job and a `custom_id`, or `rows` of variables for
        a `template`, or a `file` of either, as JSON lines (`.jsonl`) or for rows as CSV (`.csv`).

        All items are taken, or none. Retries are safe, as those of a job.

        Raises:
            BadRequestError: an item is wrong; `fields` of the error names it, with the line of a file.
            KeyReusedError: the `idempotency_key` belongs to another body.
            QuotaExceededError: the tenant has too many batches that are not over.
            UnavailableError: no worker has ever loaded a model, or the server is down.

        """
        headers = {"Idempotency-Key": idempotency_key or str(uuid4())}
        options = plain(fields)
        if file is None:
            listed = plain({"items": _plain_all(items), "rows": rows})
            response = self._connection.send(
                "POST", "batches", body=options | listed, headers=headers, longer=UPLOAD_SECONDS
            )
            return read(response, Batch.parse)
        with file.open("rb") as stream:
            form = {"batch": (None, json.dumps(options), "application/json"), "file": (file.name, stream)}
            response = self._connection.send("POST", "batches", form=form, headers=headers, longer=UPLOAD_SECONDS)
            return read(response, Batch.parse)

    def get(self, batch_id: str) -> Batch:
        return read(self._connection.send("GET", "batches", batch_id), Batch.parse)

    def list(self, *, state: str | None = None, limit: int | None = None) -> Iterator[Batch]:
        """Yield every batch, newest first, fetching pages of `limit` as they are needed."""
        cursor = None
        while True:
            params: dict[str, str | int | list[str] | None] = {"state": state, "limit": limit, "after": cursor}
            response = self._connection.send("GET", "batches", params=params)
            page = read(response, lambda data: Page.parse(data, Batch.parse))
            yield from page.data
            cursor = page.next_cursor
            if not page.has_more or cursor is None:
                return

    def cancel(self, batch_id: str) -> Batch:
        """End a batch now; what is written stays. One that is over is returned as it is."""
        return read(self._connection.send("POST", "batches", batch_id, "cancel"), Batch.parse)

    def retry(self, batch_id: str, states: Sequence[str] | None = None) -> Batch:
        """Run what failed or expired again, or what ended in `states`, as a batch of its own.

        Raises:
            ConflictError: the batch is not over, or there is nothing to run again.

        """
        body = {} if states is None else {"states": list(states)}
        response = self._connection.send(
            "POST", "batches", batch_id, "retry", body=body, repeatable=False, longer=UPLOAD_SECONDS
        )
        return read(response, Batch.parse)

    def delete(self, batch_id: str) -> None:
        """Remove a batch that is over, with its jobs and their texts.

        Raises:
            ConflictError: it is running; cancel it first.

        """
        self._connection.send("DELETE", "batches", batch_id, longer=UPLOAD_SECONDS)

    def results(self, batch_id: str) -> Iterator[BatchResult]:
        """Yield what has ended by now, in the order in which it did."""
        for page in self.download(batch_id):
            for line in page.splitlines():
                data: Any = json.loads(line)
                yield BatchResult.parse(data)

    def download(self, batch_id: str, form: str = "jsonl") -> Iterator[bytes]:
        """Yield the results as they would stand in a file of `jsonl` or `csv`, a page at a time."""
        cursor = None
        while True:
            params: dict[str, str | int | list[str] | None]
            params = {"format": form, "limit": LARGEST_PAGE, "after": cursor}
            response = self._connection.send("GET", "batches", batch_id, "results", params=params)
            yield response.content
            following = response.headers.get("next-cursor")
            if following is None or following == cursor:
                return
            cursor = following

    def wait(self, batch_id: str, timeout: float | None = None) -> Batch:
        """Return the batch once it is over, whatever the end; see `Batch.raise_for_state`.

        Raises:
            WaitTimeoutError: `timeout` seconds have passed; the batch goes on.

        """
        for batch in self.watch(batch_id, timeout):
            last = batch
        return last

    def watch(self, batch_id: str, timeout: float | None = None) -> Iterator[Batch]:
        """Yield the batch now and at each change, up to its end; it is looked at once a second.

        Raises:
            WaitTimeoutError: `timeout` seconds have passed; the batch goes on.

        """
        deadline, last = Deadline(self._connection.clock, timeout), None
        while True:
            response = self._connection.send("GET", "batches", batch_id, patient=last is not None)
            batch = read(response, Batch.parse)
            if batch != last:
                yield batch
            if batch.is_over:
                return
            if deadline.passed:
                raise WaitTimeoutError(batch_id, batch.state, timeout or 0)
            self._connection.clock.sleep(deadline.at_most(LOOK_SECONDS))
            last = batch


def _plain_all(items: Sequence[Mapping[str, object]] | None) -> Sequence[object] | None:
    return None if items is None else [plain(item) for item in items]
