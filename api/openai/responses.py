"""/v1/responses: made while the request waits, or in the background, to be polled, followed and cancelled."""

from collections.abc import Callable, Generator, Iterable
from uuid import UUID

from flask import Blueprint, Response, request

from api import replies
from api import responses as native
from api.auth import Scope
from api.conditional import idempotency_key
from api.events import Event
from api.openai import frames
from api.openai.answers import DeletedResponse
from api.openai.fields import without_nulls
from api.openai.orders import Order
from api.openai.responding import Telling, asked, in_its_words, response
from api.openai.schemas import ResponseQuery, ResponseRequest
from api.presence import has_left
from api.services import Services
from api.validation import checked_query
from quire import ids, jobs
from quire.asking.validation import checked
from quire.errors import NotFound
from quire.spec import ResponseMode
from quire.store.chunk import START

ROUTE = b"POST /v1/responses\n"  # part of the fingerprint: a key belongs to one route


def blueprint(services: Services) -> Blueprint:
    routes = Blueprint("responses", __name__, url_prefix="/v1/responses")
    answers = ResponseRoutes(services)
    routes.post("")(answers.create)
    routes.get("/<response_id>")(answers.show)
    routes.post("/<response_id>/cancel")(answers.cancel)
    routes.delete("/<response_id>")(answers.delete)
    return routes


class ResponseRoutes:
    def __init__(self, services: Services) -> None:
        self._database = services.database
        self._authenticator = services.authenticator
        self._bodies = services.bodies
        self._orders = services.orders
        self._attending = services.attending
        self._reader = services.reader
        self._follower = services.follower
        self._waiting = services.waiting

    def create(self) -> Response:
        tenant = self._tenant(Scope.WRITE)
        key, body = idempotency_key(request), without_nulls(self._bodies.read(request))
        wanted = checked(ResponseRequest, body)
        mode: ResponseMode = "background" if wanted.background else "foreground"
        once = (key, ROUTE, body) if key else None
        with in_its_words():
            order = self._orders.draft(
                tenant, wanted.model, lambda model: asked(wanted, model), count=1, once=once, response=mode
            )
        if wanted.stream:
            return self._streamed(order, background=wanted.background)
        if wanted.background:
            self._orders.place(order)
            [job] = self._attending.jobs(order)
        else:
            [job] = self._attending.finish(order, has_left(request))
        return replies.shown(response(job, background=wanted.background))

    def show(self, response_id: str) -> Response:
        tenant, query = self._tenant(Scope.READ), checked_query(ResponseQuery, request.args)
        job, shown, background = self._find(tenant, response_id)
        if not query.stream:
            return replies.shown(response(shown, background=background))
        after = -1 if query.starting_after is None else query.starting_after
        telling = Telling(self._looking(tenant, job), background=background, after=after)
        return frames.streamed(request, _frames(telling, self._follower.follow(tenant, job, START)))

    def cancel(self, response_id: str) -> Response:
        tenant = self._tenant(Scope.WRITE)
        job, _, background = self._find(tenant, response_id)
        with self._database.tenant(tenant) as session:
            shown = self._reader.shown(session, jobs.cancel(session, tenant, job))
        self._waiting.ring(job)
        return replies.shown(response(shown, background=background))

    def delete(self, response_id: str) -> Response:
        tenant = self._tenant(Scope.WRITE)
        job, _, _ = self._find(tenant, response_id)
        with self._database.tenant(tenant) as session:
            jobs.delete(session, tenant, job)
        return replies.shown(DeletedResponse(id=response_id))

    def _streamed(self, order: Order, *, background: bool) -> Response:
        told = self._attending.follow(order, has_left(request), keep=background)
        telling = Telling(self._looking(order.tenant_id, order.jobs[0]), background=background)
        return frames.streamed(request, _frames(telling, _events(told)))

    def _looking(self, tenant: UUID, job: UUID) -> Callable[[], native.Job]:
        return lambda: self._reader.one(tenant, job)

    def _find(self, tenant: UUID, response_id: str) -> tuple[UUID, native.Job, bool]:
        job = ids.parse(ids.RESPONSE, response_id)
        if job is None:
            raise NotFound
        shown, spec = self._reader.one_with_spec(tenant, job)
        if spec.response is None:  # a job, but none that was asked for here
            raise NotFound
        return job, shown, spec.response == "background"

    def _tenant(self, scope: Scope) -> UUID:
        return self._authenticator.tenant(request, scope).tenant_id


def _events(told: Generator[tuple[int, Event]]) -> Generator[Event]:
    try:
        for _, event in told:
            yield event
    finally:
        told.close()


def _frames(telling: Telling, events: Generator[Event]) -> Generator[str]:
    try:
        yield from _written(telling, events)
    finally:
        events.close()


def _written(telling: Telling, events: Iterable[Event]) -> Generator[str]:
    for event in telling.events(events):
        yield frames.COMMENT if event is None else frames.event(event.type, event)
