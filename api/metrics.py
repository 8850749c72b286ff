"""What Prometheus reads: counts of this process, and of the jobs in Postgres at the time of the scrape."""

import logging
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from api import queries
from api.waiting import WaitingRoom
from quire.database import Database
from quire.store import model

log = logging.getLogger(__name__)

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)  # the long ones are long polls


class Metrics:
    """The metrics of one app, in a registry of their own."""

    def __init__(self, database: Database, waiting: WaitingRoom) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "quire_http_requests", "Requests answered.", ("method", "route", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "quire_http_request_seconds",
            "Time to answer, waiting by request included.",
            ("method", "route"),
            buckets=SECONDS,
            registry=self._registry,
        )
        self._jobs = Counter(
            "quire_jobs_submitted", "Jobs queued by this process.", ("model",), registry=self._registry
        )
        waiters = Gauge("quire_http_waiters", "Requests held back now.", registry=self._registry)
        waiters.set_function(lambda: waiting.taken)
        self._registry.register(LiveCounts(database))

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def submitted(self, model_name: str) -> None:
        self._jobs.labels(model_name).inc()

    def exposition(self) -> bytes:
        """Return Prometheus's text format."""
        return generate_latest(self._registry)


class LiveCounts(Collector):
    """Live jobs and workers. While Postgres is away they are missing, and `quire_postgres_up` is 0."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def describe(self) -> Iterable[GaugeMetricFamily]:
        return ()  # registering must not ask Postgres

    def collect(self) -> Iterable[GaugeMetricFamily]:
        jobs = GaugeMetricFamily("quire_jobs_live", "Jobs by live state.", labels=("model", "state"))
        workers = GaugeMetricFamily("quire_workers_live", "Workers with a lease.", labels=("model",))
        try:
            with self._database.service() as session:
                for name, state, count in queries.live_counts(session):
                    jobs.add_metric((name, state), count)
                for name, count in model.live_workers(session).items():
                    workers.add_metric((name,), count)
        except SQLAlchemyError as error:
            log.warning("no live counts", extra={"action": "metrics_incomplete", "error": type(error).__name__})
            yield GaugeMetricFamily("quire_postgres_up", "Whether Postgres answered this scrape.", value=0)
            return
        yield GaugeMetricFamily("quire_postgres_up", "Whether Postgres answered this scrape.", value=1)
        yield jobs
        yield workers
