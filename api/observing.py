"""What happens around every request: its id, its log line, its metrics, and the headers that all answers carry."""

import logging
import re
import time
from contextlib import ExitStack
from uuid import uuid4

from flask import Flask, Response, g, request

from api import rates
from api.metrics import Metrics
from quire.telemetry import log_context

log = logging.getLogger(__name__)

SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}", re.ASCII)
UNROUTED = "unmatched"  # one label for all paths that are none: a label for each would fill the memory
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def observe(app: Flask, metrics: Metrics) -> None:
    """Wrap every request of the app."""

    @app.before_request
    def begin() -> None:
        given = request.headers.get("X-Request-Id", "")
        g.request_id = given if SANE_ID.fullmatch(given) else uuid4().hex
        g.started = time.perf_counter()
        g.context = ExitStack()
        g.context.enter_context(log_context(request_id=g.request_id))

    @app.after_request
    def end(response: Response) -> Response:
        response.headers["X-Request-Id"] = g.request_id
        rates.add_headers(response)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        seconds = time.perf_counter() - g.started
        route = request.url_rule.rule if request.url_rule else UNROUTED
        method = request.method if request.method in METHODS else "other"
        metrics.answered(method, route, response.status_code, seconds)
        facts = {"method": method, "route": route, "status": response.status_code, "seconds": round(seconds, 4)}
        log.info("request", extra={"action": "request", **facts})
        return response

    @app.teardown_request
    def leave(_error: BaseException | None) -> None:
        if "context" in g:
            g.context.close()
