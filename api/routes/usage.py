"""Usage: what a tenant was billed and has reserved."""

from flask import Blueprint, Response, request

from api import replies
from api.auth import Scope
from api.schemas import UsageQuery
from api.services import Services
from api.validation import checked_query


def blueprint(services: Services) -> Blueprint:
    routes = Blueprint("usage", __name__, url_prefix="/v1/usage")

    @routes.get("")
    def show() -> Response:
        caller = services.authenticator.tenant(request, Scope.READ)
        query = checked_query(UsageQuery, request.args)
        return replies.shown(services.accounts.of_tenant(caller.tenant_id, query))

    return routes
