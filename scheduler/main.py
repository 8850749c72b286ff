"""The scheduler's composition root: `python -m scheduler.main`."""

import signal
import threading
import time
from collections.abc import Callable

from redis import Redis
from sqlalchemy.orm import Session

from quire import batches, jobs, tenants
from quire.asking.drafting import Catalogue
from quire.asking.tokenizing import Tokenizers
from quire.batches import Limits
from quire.crypto import KeyRing
from quire.database import SCHEDULER_CONNECTIONS, Database
from quire.queue import celery_app
from quire.schedules import firing, planning
from quire.schedules.making import Maker
from quire.settings import Settings, load_settings
from quire.telemetry import configure_logging, serve_metrics
from scheduler import accounts, batching, compaction, forecasting, housekeeping, tokens, webhooks
from scheduler.loop import Duty, Loop
from scheduler.reaper import Reaper

MAKING = 0.5  # seconds after which a round begins no slice of a schedule's batch
ROUNDS = 5  # steps of some hundred rows, tens of milliseconds each


def duties(settings: Settings, database: Database) -> list[Duty]:
    """All there is to do, and how often."""
    redis_url = settings.redis_url.get_secret_value()
    client = Redis.from_url(redis_url, socket_timeout=2, socket_connect_timeout=1)
    app = celery_app(redis_url)
    ring = KeyRing.parse(settings.master_keys.get_secret_value())
    reaper = Reaper(database, lease_seconds=settings.lease_seconds, max_attempts=settings.max_attempts)
    outbox = webhooks.Webhooks(database, ring, allow_private=settings.webhook_private)
    catalogue = Catalogue(Tokenizers(), configured=tuple(settings.models), default_model=settings.default_model)
    maker = Maker(database, ring, catalogue, Limits(settings.max_batch_items, settings.max_open_batches))
    hour = 3600.0
    days = settings.retention_days
    return [
        Duty("release", settings.tick_seconds, lambda: in_one(database, jobs.release_due)),
        Duty("expire", settings.tick_seconds, lambda: in_one(database, jobs.expire_overdue)),
        Duty("reap", settings.tick_seconds, reaper.run),
        Duty("fire", 0.5, lambda: for_a_while(lambda: in_one(database, firing.fire))),
        Duty("plan", 1.0, lambda: in_one(database, planning.replan)),
        Duty("make_batches", 0.25, lambda: maker.run(MAKING), maker.close),
        Duty("batches", settings.tick_seconds, batching.Batching(database, window=settings.batch_window).run),
        Duty("overdue_batches", 1.0, lambda: for_a_while(lambda: in_one(database, batches.expire_overdue))),
        Duty("webhooks", 0.5, outbox.run),
        Duty(
            "old_webhooks",
            10.0,
            lambda: for_a_while(lambda: housekeeping.forget_events(database, settings.webhook_days)),
        ),
        Duty(
            "old_occurrences",
            hour,
            lambda: for_a_while(lambda: housekeeping.forget_occurrences(database, settings.webhook_days)),
        ),
        Duty("top_up", settings.tick_seconds, lambda: tokens.top_up(database, client, app)),
        Duty("accounts", 0.5, lambda: accounts.take_over(database)),
        Duty("forecast", forecasting.EVERY, lambda: forecasting.measure(database)),
        Duty("compact", 1.0, lambda: compaction.compact(database, ring)),
        Duty("partitions", hour, lambda: housekeeping.make_partitions(database)),
        Duty("suspend", 1.0, lambda: in_one(database, jobs.put_back_suspended)),
        Duty("hold_books", 1.0, lambda: in_one(database, jobs.hold_over_budget)),
        Duty("release_books", 1.0, lambda: in_one(database, jobs.release_within_budget)),
        Duty("erase", 1.0, lambda: in_rounds(lambda: in_one(database, tenants.erase))),
        Duty("retention", 5.0, lambda: in_rounds(lambda: housekeeping.forget_jobs(database, days))),
        Duty("old_batches", 5.0, lambda: in_rounds(lambda: housekeeping.forget_batches(database, days))),
        Duty("old_files", 60.0, lambda: in_rounds(lambda: housekeeping.forget_files(database))),
        Duty("rewrap", 60.0, lambda: housekeeping.rewrap_data_keys(database, ring)),
        Duty(
            "idempotency", hour, lambda: housekeeping.forget_idempotency_keys(database, settings.idempotency_hours)
        ),
    ]


def in_one(database: Database, transition: Callable[[Session], int]) -> int:
    """Run a transition in a transaction of its own."""
    with database.service() as session:
        return transition(session)


def in_rounds(step: Callable[[], int]) -> int:
    """Repeat a bounded step until nothing is left, but not for so long that the other duties wait."""
    done = 0
    for _ in range(ROUNDS):
        if not (more := step()):
            break
        done += more
    return done


def for_a_while(step: Callable[[], int], seconds: float = 2.0) -> int:
    """Repeat a bounded step until nothing is left, or until so long has gone."""
    done, end = 0, time.monotonic() + seconds
    while (more := step()) and time.monotonic() < end:
        done += more
    return done + more


def main() -> None:
    settings = load_settings()
    configure_logging("scheduler", settings.log_level)
    database = Database(settings.sqlalchemy_url, name="quire-scheduler", pool_size=SCHEDULER_CONNECTIONS)
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    serve_metrics(settings.metrics_port)
    Loop(duties(settings, database)).run(stop)
    database.close()


if __name__ == "__main__":
    main()
