"""Batches: submit, list, look, read, cancel, run again, delete."""

from collections.abc import Iterable
from itertools import chain
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, request

from api import replies
from api.auth import Scope
from api.batches import answers, cursors
from api.batches.receiving import MULTIPART, received
from api.batches.requests import BatchQuery, ResultsQuery, RetryRequest
from api.batches.results import Format
from api.body import canonical
from api.conditional import idempotency_key
from api.openai.fields import without_nulls
from api.openai.schemas import FileBatchRequest
from api.ranges import RANGE
from api.services import Services
from api.validation import checked_query
from quire import ids
from quire.asking.validation import checked
from quire.batches import Cursor
from quire.errors import NotFound, RangeNotSatisfiable
from quire.jobs import Once

FILE_ID = "input_file_id"  # what tells a body of OpenAI's form from our own
ROUTE = b"POST /v1/batches\n"  # part of the fingerprint: a key belongs to one route
MEDIA = {"jsonl": "application/jsonl", "csv": "text/csv"}
LONGEST_SPAN = 4_000_000  # bytes that one range is answered with at most
RUNNING_SECONDS = 1


def blueprint(services: Services) -> Blueprint:
    routes = Blueprint("batches", __name__, url_prefix="/v1/batches")
    answering = BatchRoutes(services)
    routes.post("")(answering.submit)
    routes.get("")(answering.index)
    routes.get("/<batch_id>")(answering.show)
    routes.get("/<batch_id>/results")(answering.results)
    routes.post("/<batch_id>/cancel")(answering.cancel)
    routes.post("/<batch_id>/retry")(answering.retry)
    routes.delete("/<batch_id>")(answering.delete)
    return routes


class BatchRoutes:
    def __init__(self, services: Services) -> None:
        self._authenticator = services.authenticator
        self._bodies = services.bodies
        self._bulk_bodies = services.bulk_bodies
        self._opening = services.batches.opening
        self._reader = services.batches.reader
        self._results = services.batches.results
        self._retrying = services.batches.retrying
        self._most_bytes = services.batches.most_bytes
        self._openai = services.openai_batches

    def submit(self) -> Response:
        tenant, key = self._tenant(Scope.WRITE), idempotency_key(request)
        body = self._body()
        if body is not None and FILE_ID in body:
            return self._submit_file(tenant, key, without_nulls(body))
        asked = received(request, body, self._most_bytes)
        owner = self._opening.owner(tenant)
        once = Once(key, owner.key.fingerprint(ROUTE + asked.identity)) if key else None
        opened = self._opening.open(owner, asked.options, asked.entries, once=once)
        answer = self._made(tenant, opened.batch)
        if opened.replayed:
            answer.headers["Idempotent-Replayed"] = "true"
        return answer

    def index(self) -> Response:
        tenant = self._tenant(Scope.READ)
        rows, following = self._reader.page(tenant, checked_query(BatchQuery, request.args))
        data = self._openai.forms(tenant, rows)
        first, last = (data[0].id, data[-1].id) if data else (None, None)
        page = answers.BatchPage(
            data=data, has_more=following is not None, next_cursor=following, first_id=first, last_id=last
        )
        return replies.shown(page)

    def show(self, batch_id: str) -> Response:
        tenant = self._tenant(Scope.READ)
        return self._answer(tenant, self._reader.one(tenant, _id(batch_id)))

    def results(self, batch_id: str) -> Response:
        tenant, batch = self._tenant(Scope.READ), _id(batch_id)
        query = checked_query(ResultsQuery, request.args)
        after = cursors.read(query.after)
        if query.limit is not None:
            page = self._results.page(tenant, batch, query.format, after, query.limit)
            return _file(page.lines, query.format, after=page.after)
        if query.after is None and (asked := RANGE.fullmatch(request.headers.get("Range", ""))) and asked[1]:
            return self._range(tenant, batch, query.format, *asked.groups())
        pages = self._results.pages(tenant, batch, query.format, after)
        begun = [next(pages, None)]  # now, while an error can still be told
        return _file((line for page in chain(begun, pages) if page for line in page.lines), query.format)

    def cancel(self, batch_id: str) -> Response:
        tenant = self._tenant(Scope.WRITE)
        return self._answer(tenant, self._reader.cancel(tenant, _id(batch_id)))

    def retry(self, batch_id: str) -> Response:
        tenant, batch = self._tenant(Scope.WRITE), _id(batch_id)
        wanted = checked(RetryRequest, self._bodies.read(request) if request.get_data() else {})
        return self._made(tenant, self._retrying.retry(tenant, batch, wanted.states).batch)

    def delete(self, batch_id: str) -> Response:
        self._reader.delete(self._tenant(Scope.WRITE), _id(batch_id))
        return Response(status=204)

    def _range(self, tenant: UUID, batch: UUID, form: Format, first: str, last: str) -> Response:
        start = int(first)
        most = LONGEST_SPAN if last == "" else min(int(last) - start + 1, LONGEST_SPAN)
        data = self._results.span(tenant, batch, form, start, most) if most > 0 else b""
        if not data:
            raise RangeNotSatisfiable
        answer = _file([data], form, status=206)
        answer.headers["Content-Range"] = f"bytes {start}-{start + len(data) - 1}/*"  # it may yet grow
        return answer

    def _made(self, tenant: UUID, batch: UUID) -> Response:
        answer = self._answer(tenant, self._reader.one(tenant, batch), 202)
        answer.headers["Location"] = f"/v1/batches/{ids.show(ids.BATCH, batch)}"
        return answer

    def _answer(self, tenant: UUID, found: answers.Batch, status: int = 200) -> Response:
        [form] = self._openai.forms(tenant, [found])
        answer = replies.shown(form, status)
        if not found.state.is_over:
            answer.headers["Retry-After"] = str(RUNNING_SECONDS)
        return answer

    def _body(self) -> dict[str, Any] | None:
        """Return the body; None if it is a form."""
        if request.mimetype == MULTIPART:
            return None
        request.max_content_length = self._bulk_bodies.limit + 1
        return self._bulk_bodies.read(request)

    def _submit_file(self, tenant: UUID, key: str | None, body: dict[str, Any]) -> Response:
        """Make a batch of a file, as OpenAI's clients ask for it."""
        wanted = checked(FileBatchRequest, body)
        owner = self._opening.owner(tenant)
        once = Once(key, owner.key.fingerprint(ROUTE + canonical(body))) if key else None
        return self._made(tenant, self._openai.create(tenant, wanted, once))

    def _tenant(self, scope: Scope) -> UUID:
        return self._authenticator.tenant(request, scope).tenant_id


def _file(lines: Iterable[bytes], form: Format, *, after: Cursor | None = None, status: int = 200) -> Response:
    answer = Response(lines, status, mimetype=MEDIA[form])
    answer.headers["Accept-Ranges"] = "bytes"
    answer.headers["Cache-Control"] = "private, no-cache"
    if after is not None:
        answer.headers["Next-Cursor"] = cursors.write(after)
    return answer


def _id(shown: str) -> UUID:
    batch = ids.parse(ids.BATCH, shown)
    if batch is None:
        raise NotFound
    return batch
