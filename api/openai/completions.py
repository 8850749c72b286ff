"""POST /v1/completions: the request waits for its jobs, and is answered whole or as they write."""

from collections.abc import Generator
from time import time

from flask import Blueprint, Response, request

from api import replies
from api.auth import Scope
from api.conditional import idempotency_key
from api.events import Quiet
from api.openai import frames
from api.openai.attending import Attending
from api.openai.completing import Writing, asked, ended
from api.openai.fields import without_nulls
from api.openai.orders import Order
from api.openai.schemas import CompletionRequest
from api.presence import Left, has_left
from api.services import Services
from quire.asking.validation import checked

ROUTE = b"POST /v1/completions\n"  # part of the fingerprint: a key belongs to one route
DONE = "data: [DONE]\n\n"


def blueprint(services: Services) -> Blueprint:
    routes = Blueprint("completions", __name__, url_prefix="/v1/completions")
    orders, attending = services.orders, services.attending

    @routes.post("")
    def create() -> Response:
        tenant = services.authenticator.tenant(request, Scope.WRITE).tenant_id
        key, body = idempotency_key(request), without_nulls(services.bodies.read(request))
        wanted = checked(CompletionRequest, body)
        once = (key, ROUTE, body) if key else None
        order = orders.draft(
            tenant, wanted.model, lambda model: asked(wanted, model), count=len(wanted.prompt), once=once
        )
        writing = Writing(order.jobs[0], wanted.model, n=wanted.n, echo=wanted.echo, created=int(time()))
        if wanted.stream:
            return frames.streamed(request, _chunks(attending, order, wanted, writing, has_left(request)))
        done = attending.finish(order, has_left(request))
        ended(done)
        return replies.shown(writing.whole(done))

    return routes


def _chunks(
    attending: Attending, order: Order, wanted: CompletionRequest, writing: Writing, left: Left
) -> Generator[str]:
    told = attending.follow(order, left)
    try:
        for place, (number, event) in enumerate(told):
            if place == 0:
                yield frames.data(writing.echoes(attending.jobs(order))) if wanted.echo else frames.COMMENT
            if isinstance(event, Quiet):
                yield frames.COMMENT
            for chunk in writing.chunks(number, event):
                yield frames.data(chunk)
        if wanted.stream_options and wanted.stream_options.include_usage:
            yield frames.data(writing.last(attending.jobs(order)))
        yield DONE
    finally:
        told.close()
