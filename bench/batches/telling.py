"""Webhooks a second, to a receiver on this machine that takes everything at once."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg

from bench.report import Figure
from bench.system import System

# One event for each delivery, as if so many jobs had ended.
ADD = """
    WITH endpoint AS (
        SELECT id, tenant_id, row_number() OVER () AS number FROM webhook_endpoints WHERE description = 'bench'),
    event AS (
        INSERT INTO webhook_events (id, tenant_id, type, data)
        SELECT gen_random_uuid(), tenant_id, 'job.succeeded', '{"id": "job_1"}'
        FROM generate_series(1, %(count)s), (SELECT tenant_id FROM endpoint LIMIT 1) AS owner
        RETURNING id, tenant_id),
    numbered AS (SELECT *, row_number() OVER () AS place FROM event)
    INSERT INTO webhook_deliveries (id, event_id, endpoint_id, tenant_id)
    SELECT gen_random_uuid(), numbered.id, endpoint.id, numbered.tenant_id FROM numbered
    JOIN endpoint ON endpoint.number = 1 + numbered.place %% %(endpoints)s
"""
LEFT = "SELECT count(*) FROM webhook_deliveries WHERE state = 'pending'"
PATIENCE_SECONDS = 300


def telling(system: System, count: int, endpoints: int) -> list[Figure]:
    """Deliver so many events to so many endpoints."""
    with _receiver() as url, system.client("bench-webhooks") as quire:
        for _ in range(endpoints):
            quire.webhooks.create(url, description="bench")
        with psycopg.connect(system.database_url, autocommit=True) as database:
            database.execute(ADD, {"count": count, "endpoints": endpoints})
            began = time.monotonic()
            left = count
            while left and time.monotonic() < began + PATIENCE_SECONDS:
                time.sleep(0.1)
                row = database.execute(LEFT).fetchone()
                left = int(row[0]) if row else 0
            took = time.monotonic() - began
    return [
        Figure("webhooks_delivered", count - left, "deliveries"),
        Figure("webhooks_endpoints", endpoints, "endpoints"),
        Figure("webhooks_rate", (count - left) / took, "deliveries/s"),
    ]


@contextmanager
def _receiver() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(204)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
