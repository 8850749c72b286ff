"""Webhooks: set up, list, change, rotate, test, delete; what was sent, and sending it again."""

from uuid import UUID

from flask import Blueprint, Response, request

from api import replies
from api.auth import Scope
from api.schemas import PageQuery
from api.services import Services
from api.validation import checked_query
from api.webhooks.requests import EndpointChange, EndpointRequest, RotateRequest
from quire import ids
from quire.asking.validation import checked
from quire.errors import NotFound


def blueprint(services: Services) -> Blueprint:
    routes = Blueprint("webhooks", __name__, url_prefix="/v1/webhooks")
    answers = WebhookRoutes(services)
    routes.post("")(answers.make)
    routes.get("")(answers.index)
    routes.get("/<webhook_id>")(answers.show)
    routes.patch("/<webhook_id>")(answers.change)
    routes.delete("/<webhook_id>")(answers.delete)
    routes.post("/<webhook_id>/rotate")(answers.rotate)
    routes.post("/<webhook_id>/test")(answers.test)
    routes.get("/<webhook_id>/deliveries")(answers.deliveries)
    routes.post("/<webhook_id>/deliveries/<delivery_id>/redeliver")(answers.redeliver)
    return routes


class WebhookRoutes:
    def __init__(self, services: Services) -> None:
        self._authenticator = services.authenticator
        self._bodies = services.bodies
        self._endpoints = services.endpoints
        self._deliveries = services.deliveries

    def make(self) -> Response:
        tenant = self._tenant(Scope.WRITE)
        return replies.shown(
            self._endpoints.make(tenant, checked(EndpointRequest, self._bodies.read(request))), 201
        )

    def index(self) -> Response:
        tenant = self._tenant(Scope.READ)
        return replies.shown(self._endpoints.page(tenant, checked_query(PageQuery, request.args)))

    def show(self, webhook_id: str) -> Response:
        return replies.shown(self._endpoints.one(self._tenant(Scope.READ), _id(ids.ENDPOINT, webhook_id)))

    def change(self, webhook_id: str) -> Response:
        tenant, endpoint = self._tenant(Scope.WRITE), _id(ids.ENDPOINT, webhook_id)
        wanted = checked(EndpointChange, self._bodies.read(request))
        return replies.shown(self._endpoints.change(tenant, endpoint, wanted))

    def delete(self, webhook_id: str) -> Response:
        self._endpoints.delete(self._tenant(Scope.WRITE), _id(ids.ENDPOINT, webhook_id))
        return Response(status=204)

    def rotate(self, webhook_id: str) -> Response:
        tenant, endpoint = self._tenant(Scope.WRITE), _id(ids.ENDPOINT, webhook_id)
        wanted = checked(RotateRequest, self._bodies.read(request))
        return replies.shown(self._endpoints.rotate(tenant, endpoint, wanted))

    def test(self, webhook_id: str) -> Response:
        tenant, endpoint = self._tenant(Scope.WRITE), _id(ids.ENDPOINT, webhook_id)
        return replies.shown(self._deliveries.test(tenant, endpoint), 202)

    def deliveries(self, webhook_id: str) -> Response:
        tenant, endpoint = self._tenant(Scope.READ), _id(ids.ENDPOINT, webhook_id)
        query = checked_query(PageQuery, request.args)
        return replies.shown(self._deliveries.page(tenant, endpoint, query))

    def redeliver(self, webhook_id: str, delivery_id: str) -> Response:
        tenant, endpoint = self._tenant(Scope.WRITE), _id(ids.ENDPOINT, webhook_id)
        return replies.shown(self._deliveries.redeliver(tenant, endpoint, _id(ids.DELIVERY, delivery_id)), 202)

    def _tenant(self, scope: Scope) -> UUID:
        return self._authenticator.tenant(request, scope).tenant_id


def _id(prefix: str, shown: str) -> UUID:
    found = ids.parse(prefix, shown)
    if found is None:
        raise NotFound
    return found
