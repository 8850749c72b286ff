"""/v1/files: what batches are made of."""

from collections.abc import Iterable, Iterator
from itertools import chain
from uuid import UUID

from flask import Blueprint, Response, request

from api import replies
from api.auth import Scope
from api.openai.receiving import receive
from api.openai.schemas import FileQuery
from api.services import Services
from api.validation import checked_query
from quire.errors import Conflict

MEDIA = "application/octet-stream"


def blueprint(services: Services) -> Blueprint:
    routes = Blueprint("files", __name__, url_prefix="/v1/files")
    files, made = services.files, services.batch_files

    @routes.post("")
    def create() -> Response:
        stored = files.store(tenant(Scope.WRITE), lambda cutter: receive(request, cutter, files.most_bytes))
        return replies.shown(stored)

    @routes.get("")
    def index() -> Response:
        return replies.shown(files.page(tenant(Scope.READ), checked_query(FileQuery, request.args)))

    @routes.get("/<file_id>")
    def show(file_id: str) -> Response:
        found = made if made.has(file_id) else files
        return replies.shown(found.one(tenant(Scope.READ), file_id))

    @routes.get("/<file_id>/content")
    def content(file_id: str) -> Response:
        if made.has(file_id):
            return Response(_begun(made.content(tenant(Scope.READ), file_id)), mimetype=MEDIA)
        size, parts = files.content(tenant(Scope.READ), file_id)
        answer = Response(_begun(parts), mimetype=MEDIA)
        answer.content_length = size
        return answer

    @routes.delete("/<file_id>")
    def delete(file_id: str) -> Response:
        if made.has(file_id):
            made.one(tenant(Scope.WRITE), file_id)  # nobody else is told that there is one
            raise Conflict("The file is of a batch, and goes with it: delete that.")
        return replies.shown(files.delete(tenant(Scope.WRITE), file_id))

    def tenant(scope: Scope) -> UUID:
        return services.authenticator.tenant(request, scope).tenant_id

    return routes


def _begun(parts: Iterator[bytes]) -> Iterable[bytes]:
    """Return the parts, the first of which is read now, while an error can still be told."""
    if request.method == "HEAD":
        return ()
    return chain([next(parts, b"")], parts)
