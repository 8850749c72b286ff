"""The operator's views of workers and of jobs that are stuck."""

from flask import Blueprint, Response, request

from api import replies
from api.schemas import PageQuery, StuckQuery
from api.services import Services
from api.validation import checked_query


def blueprint(services: Services) -> Blueprint:
    routes = Blueprint("admin", __name__, url_prefix="/v1/admin")

    @routes.before_request
    def only_the_operator() -> None:
        services.authenticator.operator(request)

    @routes.get("/workers")
    def workers() -> Response:
        return replies.shown(services.oversight.workers(checked_query(PageQuery, request.args)))

    @routes.get("/stuck")
    def stuck() -> Response:
        return replies.shown(services.oversight.stuck(checked_query(StuckQuery, request.args)))

    return routes
