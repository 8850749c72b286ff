"""Latencies at a thousand to a million queued jobs, of few tenants and of many: they should not grow.

Everything is asked as users and services ask it: over the API's routes, in the transactions of a claim and of the
scheduler's tick. What was claimed is ended, and as many jobs are queued again, between the measured claims.
"""

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from statistics import median
from uuid import UUID

from flask.testing import FlaskClient

from api.app import create_app
from api.auth import NewKey
from bench.engine import plots
from bench.engine.driver import say
from bench.fairness.bare import MODEL, Bare, bare
from bench.fairness.figures import Figure, at_most, percentile
from bench.fairness.options import Options
from quire import ids, jobs, testing
from quire.jobs import Outcome, Report
from quire.settings import Settings
from quire.store import ApiKey, Job, job_counts, waiting
from quire.store.job import State

FLAT = 2.5  # times as long with the most jobs as with the fewest
CLAIM = 32
WARM = 5
SHOWN = 25  # jobs of the asking tenant that can be opened: a page and a few
MILLISECONDS = 1_000
# Tenants, and the tenant whose jobs they nearly all are.
SHAPES: Mapping[str, tuple[int, bool]] = {
    "one_deep_lane": (10, True),
    "10_lanes": (10, False),
    "1000_lanes": (1_000, False),
    "10000_lanes": (10_000, False),
}
BOUND = ("claim", "submit", "poll", "list", "position")

Latencies = dict[tuple[str, int], list[float]]  # milliseconds, by operation and number of jobs


class NoNotices:
    """Nobody waits here, so nobody listens."""

    def listen(self, _on_notice: Callable[[UUID], None], stop: threading.Event) -> None:
        stop.wait()


def measure(options: Options) -> list[Figure]:
    measured: dict[str, Latencies] = {}
    for shape, (tenants, deep) in SHAPES.items():
        with bare(shape) as place, closing(Growing(place, tenants, deep=deep)) as growing:
            measured[shape] = {}
            for size in options.growth_sizes:
                growing.grow(size)
                for operation, milliseconds in growing.times(options.growth_samples).items():
                    measured[shape][operation, size] = milliseconds
                say(f"{shape} {size:>9,}: {_line(measured[shape], size)}")
    _draw(options, measured)
    return _figures(options, measured)


class Growing:
    """A queue that grows, and what is asked of it."""

    def __init__(self, place: Bare, tenants: int, *, deep: bool) -> None:
        self._place = place
        self._tenants = place.tenants(tenants)
        self._targets = self._tenants[:1] if deep else self._tenants
        self._deep = deep
        self._size = 0
        settings = Settings(
            database_url=place.url,
            redis_url="redis://127.0.0.1:1/0",  # nobody is asked
            master_keys=testing.MASTER_KEYS,
            models={MODEL: "nowhere"},
        )
        self._app = create_app(
            settings, database=place.database, publisher=testing.FakePublisher(), notices=NoNotices()
        )
        self._asking = self._tenants[0]
        self._http = Asking(self._app.test_client(), self._key(self._asking))
        with place.database.service() as session:
            self._worker = testing.add_worker(session, slots=CLAIM)

    def close(self) -> None:
        self._app.extensions["quire"].waiting.close()

    def grow(self, size: int) -> None:
        """Fill up to so many queued jobs, the newest of which the asking tenant can read."""
        if self._deep and not self._size:
            self._place.fill(self._tenants[1:], 10 * len(self._tenants[1:]))
            self._size = 10 * len(self._tenants[1:])
        self._place.fill(self._targets, size - self._size - SHOWN)
        self._last = [self._http.submit() for _ in range(SHOWN)][-1]
        self._size = size
        self._place.tidy()

    def times(self, samples: int) -> dict[str, list[float]]:
        """Return milliseconds of each operation."""
        operations: dict[str, Callable[[], object]] = {
            "poll": lambda: self._http.get(f"/v1/jobs/{self._last}"),
            "list": lambda: self._http.get("/v1/jobs?limit=20"),
            "position": self._position,
            "submit": self._http.submit,
            "tick": self._tick,
            "scrape": lambda: self._http.get("/metrics"),
            "claim": self._claim,
        }
        times: dict[str, list[float]] = {}
        for name, operation in operations.items():
            taken = []
            for _ in range(WARM + samples):
                begun = time.perf_counter()
                done = operation()
                taken.append(MILLISECONDS * (time.perf_counter() - begun))
                if name == "claim":
                    self._replace(done)  # type: ignore[arg-type]
            times[name] = taken[WARM:]
        return times

    def _claim(self) -> list[jobs.Claimed]:
        with self._place.database.service() as session:
            return jobs.claim(session, model=MODEL, worker_id=self._worker, numerics="fake", k=CLAIM)

    def _replace(self, claimed: list[jobs.Claimed]) -> None:
        """End what was claimed and queue as much again, so that the queue stays as long as it is."""
        if len(claimed) != CLAIM:
            raise RuntimeError(f"{len(claimed)} jobs were claimed in place of {CLAIM}")
        with self._place.database.service() as session:
            done = [Report(job.id, job.fence, (), Outcome(State.SUCCEEDED, 80, 70)) for job in claimed]
            jobs.commit(session, done)
        self._place.fill([job.tenant_id for job in claimed], CLAIM)

    def _position(self) -> None:
        with self._place.database.tenant(self._asking) as session:
            job = session.get_one(Job, ids.parse(ids.JOB, self._last))
            waiting.ahead_of(session, job)

    def _tick(self) -> None:
        """Do what a scheduler does four times a second, but for Redis."""
        for duty in (jobs.release_due, jobs.expire_overdue, lambda session: jobs.requeue_orphans(session, 3)):
            with self._place.database.service() as session:
                duty(session)
        with self._place.database.service() as session:
            for model, slots in job_counts.free_slots_by_model(session).items():
                job_counts.startable(session, model, slots)

    def _key(self, tenant: UUID) -> str:
        key = NewKey.draw()
        row = ApiKey(
            id=ids.new_id(), tenant_id=tenant, prefix=key.prefix, secret_hash=key.digest,
            scopes=["jobs:read", "jobs:write"],
        )  # fmt: skip
        with self._place.database.service() as session:
            session.add(row)
        return key.secret


@dataclass(frozen=True)
class Asking:
    """A tenant that talks to the app in this process."""

    http: FlaskClient
    secret: str

    def get(self, path: str) -> None:
        answer = self.http.get(path, headers={"Authorization": f"Bearer {self.secret}"})
        if answer.status_code != 200:
            raise RuntimeError(f"GET {path}: {answer.status} {answer.text}")

    def submit(self) -> str:
        """Queue one more job; returns its id."""
        headers = {"Authorization": f"Bearer {self.secret}"}
        answer = self.http.post("/v1/jobs", json={"prompt": "Once upon a time"}, headers=headers)
        if answer.status_code != 202 or answer.json is None:
            raise RuntimeError(f"POST /v1/jobs: {answer.status} {answer.text}")
        return str(answer.json["id"])


def _line(latencies: Latencies, size: int) -> str:
    names = [operation for operation, at in latencies if at == size]
    return ", ".join(f"{name} {median(latencies[name, size]):.1f}" for name in names) + " ms"


def _figures(options: Options, measured: Mapping[str, Latencies]) -> list[Figure]:
    least, most = options.growth_sizes[0], options.growth_sizes[-1]
    figures: list[Figure] = []
    for shape, latencies in measured.items():
        for operation in dict.fromkeys(name for name, _ in latencies):
            name = f"growth_{shape}_{operation}"
            for size in options.growth_sizes:
                times = latencies[operation, size]
                figures.append(Figure(f"{name}_p50_{size}", median(times), "ms"))
                figures.append(Figure(f"{name}_p95_{size}", percentile(times, 0.95), "ms"))
            grown = median(latencies[operation, most]) / median(latencies[operation, least])
            figures.append(
                at_most(f"{name}_growth", grown, "x", FLAT)
                if operation in BOUND
                else Figure(f"{name}_growth", grown, "x")
            )
    # From the fewest jobs of the fewest tenants to the most of the most.
    for operation in BOUND:
        first, last = measured["10_lanes"][operation, least], measured["10000_lanes"][operation, most]
        figures.append(at_most(f"growth_corner_{operation}_growth", median(last) / median(first), "x", FLAT))
    return figures


def _draw(options: Options, measured: Mapping[str, Latencies]) -> None:
    for operation in BOUND:
        curves = {
            shape.replace("_", " "): [(size, median(latencies[operation, size])) for size in options.growth_sizes]
            for shape, latencies in measured.items()
        }
        plots.draw(
            options.plots / f"growth-{operation}.svg", curves, across="queued jobs", up=f"{operation}, ms (median)"
        )
