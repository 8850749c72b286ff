"""Tenants and their keys, for the operator."""

from uuid import UUID

from flask import Blueprint, Response, g, request

from api import replies
from api.schemas import KeyQuery, KeyRequest, TenantChange, TenantQuery, TenantRequest, UsageQuery
from api.services import Services
from api.validation import checked_query
from quire import ids
from quire.asking.validation import checked
from quire.errors import NotFound


def blueprint(services: Services) -> Blueprint:
    routes = Blueprint("tenants", __name__, url_prefix="/v1/tenants")
    answers = TenantRoutes(services)
    routes.before_request(answers.only_the_operator)
    routes.post("")(answers.create)
    routes.get("")(answers.index)
    routes.get("/<tenant_id>")(answers.show)
    routes.patch("/<tenant_id>")(answers.change)
    routes.get("/<tenant_id>/usage")(answers.usage)
    routes.delete("/<tenant_id>")(answers.delete)
    routes.get("/<tenant_id>/receipt")(answers.receipt)
    routes.post("/<tenant_id>/suspend")(answers.suspend)
    routes.post("/<tenant_id>/resume")(answers.resume)
    routes.post("/<tenant_id>/keys")(answers.create_key)
    routes.get("/<tenant_id>/keys")(answers.keys)
    routes.delete("/<tenant_id>/keys/<key_id>")(answers.revoke_key)
    return routes


class TenantRoutes:
    def __init__(self, services: Services) -> None:
        self._authenticator = services.authenticator
        self._bodies = services.bodies
        self._tenancy = services.tenancy
        self._accounts = services.accounts

    def only_the_operator(self) -> None:
        self._authenticator.operator(request)

    def create(self) -> Response:
        wanted = checked(TenantRequest, self._bodies.read(request))
        return replies.shown(self._tenancy.create(wanted), 201)

    def index(self) -> Response:
        return replies.shown(self._tenancy.page(checked_query(TenantQuery, request.args)))

    def show(self, tenant_id: str) -> Response:
        return replies.shown(self._tenancy.get(_id(ids.TENANT, tenant_id)))

    def change(self, tenant_id: str) -> Response:
        tenant = _id(ids.TENANT, tenant_id)
        wanted = checked(TenantChange, self._bodies.read(request))
        return replies.shown(self._tenancy.change(tenant, wanted))

    def usage(self, tenant_id: str) -> Response:
        tenant = _id(ids.TENANT, tenant_id)
        return replies.shown(self._accounts.of_tenant(tenant, checked_query(UsageQuery, request.args)))

    def suspend(self, tenant_id: str) -> Response:
        return replies.shown(self._tenancy.suspend(_id(ids.TENANT, tenant_id)))

    def resume(self, tenant_id: str) -> Response:
        return replies.shown(self._tenancy.resume(_id(ids.TENANT, tenant_id)))

    def delete(self, tenant_id: str) -> Response:
        return replies.shown(self._tenancy.delete(_id(ids.TENANT, tenant_id), g.request_id))

    def receipt(self, tenant_id: str) -> Response:
        return replies.shown(self._tenancy.receipt(_id(ids.TENANT, tenant_id)))

    def create_key(self, tenant_id: str) -> Response:
        tenant = _id(ids.TENANT, tenant_id)
        wanted = checked(KeyRequest, self._bodies.read(request))
        return replies.shown(self._tenancy.create_key(tenant, wanted), 201)

    def keys(self, tenant_id: str) -> Response:
        tenant = _id(ids.TENANT, tenant_id)
        return replies.shown(self._tenancy.keys(tenant, checked_query(KeyQuery, request.args)))

    def revoke_key(self, tenant_id: str, key_id: str) -> Response:
        self._tenancy.revoke_key(_id(ids.TENANT, tenant_id), _id(ids.KEY, key_id))
        return Response(status=204)


def _id(prefix: str, shown: str) -> UUID:
    found = ids.parse(prefix, shown)
    if found is None:
        raise NotFound
    return found
