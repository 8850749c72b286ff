"""Artifacts: the files that a job has made, whole or in part."""

from collections.abc import Iterable
from itertools import chain
from uuid import UUID

from flask import Blueprint, Response, request

from api import replies
from api.auth import Scope
from api.ranges import Span, Unsatisfiable, span_of
from api.reading import Artifact
from api.services import Services
from quire import ids
from quire.errors import NotFound, RangeNotSatisfiable


def blueprint(services: Services) -> Blueprint:
    routes = Blueprint("artifacts", __name__, url_prefix="/v1/jobs/<job_id>/artifacts")
    reader, authenticator = services.reader, services.authenticator

    @routes.get("")
    def index(job_id: str) -> Response:
        tenant = authenticator.tenant(request, Scope.READ).tenant_id
        return replies.shown(reader.artifacts(tenant, _id(job_id)))

    @routes.get("/<name>")
    def show(job_id: str, name: str) -> Response:
        tenant = authenticator.tenant(request, Scope.READ).tenant_id
        return _answer(reader.artifact(tenant, _id(job_id), name))

    return routes


def _answer(file: Artifact) -> Response:
    size, name = file.row.size, file.row.name
    try:
        span = span_of(request, size, file.sha256)
    except Unsatisfiable:
        raise RangeNotSatisfiable(size) from None
    unchanged = request.if_none_match.contains_weak(file.sha256)
    if unchanged:
        answer = Response(status=304)
    else:
        answer = Response(_body(file, span), 200 if span.is_whole else 206, mimetype=file.row.media_type)
        answer.content_length = span.end - span.start
        if not span.is_whole:
            answer.headers["Content-Range"] = span.content_range
        answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    answer.headers["Accept-Ranges"] = "bytes"
    answer.headers["Cache-Control"] = "private, no-cache"
    answer.set_etag(file.sha256)
    return answer


def _body(file: Artifact, span: Span) -> Iterable[bytes]:
    """Return what is to be sent, a part at a time; the first is read now, while an error can still be told."""
    if request.method == "HEAD":
        return ()
    parts = file.read(span.start, span.end)
    return chain([next(parts, b"")], parts)


def _id(shown: str) -> UUID:
    job = ids.parse(ids.JOB, shown)
    if job is None:
        raise NotFound
    return job
