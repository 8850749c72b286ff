"""Batches: submit, list, look, read, cancel, run again, delete."""

from collections.abc import Iterable
from itertools import chain
from uuid import UUID

from flask import Blueprint, Response, request

from api import replies
from api.auth import Scope
from api.batches import answers, cursors
from api.batches.receiving import received
from api.batches.requests import BatchQuery, ResultsQuery, RetryRequest
from api.batches.results import Format
from api.conditional import idempotency_key
from api.ranges import RANGE
from api.services import Services
from api.validation import checked_query
from quire import ids
from quire.asking.validation import checked
from quire.batches import Cursor
from quire.errors import NotFound, RangeNotSatisfiable
from quire.jobs import Once

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

    def submit(self) -> Response:
        tenant, key = self._tenant(Scope.WRITE), idempotency_key(request)
        asked = received(request, self._bulk_bodies, self._most_bytes)
        owner = self._opening.owner(tenant)
        once = Once(key, owner.key.fingerprint(ROUTE + asked.identity)) if key else None
        opened = self._opening.open(owner, asked.options, asked.entries, once=once)
        answer = self._made(tenant, opened.batch)
        if opened.replayed:
            answer.headers["Idempotent-Replayed"] = "true"
        return answer

    def index(self) -> Response:
        tenant = self._tenant(Scope.READ)
        return replies.shown(self._reader.page(tenant, checked_query(BatchQuery, request.args)))

    def show(self, batch_id: str) -> Response:
        tenant = self._tenant(Scope.READ)
        return _answer(self._reader.one(tenant, _id(batch_id)))

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
        return _answer(self._reader.cancel(tenant, _id(batch_id)))

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
        answer = _answer(self._reader.one(tenant, batch), 202)
        answer.headers["Location"] = f"/v1/batches/{ids.show(ids.BATCH, batch)}"
        return answer

    def _tenant(self, scope: Scope) -> UUID:
        return self._authenticator.tenant(request, scope).tenant_id


def _answer(shown: answers.Batch, status: int = 200) -> Response:
    answer = replies.shown(shown, status)
    if not shown.state.is_over:
        answer.headers["Retry-After"] = str(RUNNING_SECONDS)
    return answer


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
