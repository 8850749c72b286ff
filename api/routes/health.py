"""Health: for load balancers, orchestrators and Prometheus. No key needed."""

from flask import Blueprint, Response
from prometheus_client import CONTENT_TYPE_LATEST

from api import replies, responses
from api.services import Services


def blueprint(services: Services) -> Blueprint:
    routes = Blueprint("health", __name__)

    @routes.get("/healthz")
    def alive() -> Response:
        return replies.shown(responses.Alive())

    @routes.get("/readyz")
    def ready() -> Response:
        return replies.shown(services.readiness.check())

    @routes.get("/metrics")
    def metrics() -> Response:
        return Response(services.metrics.exposition(), content_type=CONTENT_TYPE_LATEST)

    return routes
