"""The worker's composition root: `celery -A worker.app:app worker --pool threads --queues quire.<model>`."""

import gc
import logging
import os
import sys
import threading

from celery import Celery
from celery.signals import setup_logging, worker_init, worker_shutdown, worker_shutting_down
from kombu.asynchronous import get_event_loop
from prometheus_client import REGISTRY

from quire.errors import UndecryptableError
from quire.queue import celery_app
from quire.settings import Settings, load_settings
from quire.telemetry import configure_logging, serve_metrics
from worker import tasks
from worker.defaults import sampling_of
from worker.engine import Engine, EngineError
from worker.kinds import kind_of
from worker.metrics import EngineMetrics
from worker.service import Service

log = logging.getLogger(__name__)

ESSENTIAL = frozenset({"claimer", "engine", "lease", "writer"})  # threads without which a worker is none


def create_app(settings: Settings) -> Celery:
    """Build the Celery application of one worker process; the engine is loaded when the worker starts."""
    model, _ = settings.served_model
    app = celery_app(settings.redis_url.get_secret_value(), model)
    started: list[Service] = []

    def start(**_: object) -> None:
        try:
            started.append(serve(app, settings))
        except (EngineError, UndecryptableError) as error:
            log.critical(str(error), extra={"action": "refused", "model": model})
            sys.exit(os.EX_CONFIG)  # a restart will not help
        except Exception:
            # Celery would log it and go on: a process that is up and does nothing. Say, Postgres is away; whoever
            # restarts this process tries again.
            log.critical("not started", extra={"action": "not_started", "model": model}, exc_info=True)
            os._exit(os.EX_TEMPFAIL)  # at once: threads that were started already would be waited for

    def drain(**_: object) -> None:
        for service in started:
            service.drain()
        threading.Thread(target=wake_celery, name="wake").start()

    def stop(**_: object) -> None:
        for service in started:
            service.stop()

    def configure(**_: object) -> None:
        configure_logging("worker", settings.log_level)
        for chatter in ("celery.worker.strategy", "celery.app.trace"):  # a line for each token says nothing
            logging.getLogger(chatter).setLevel(logging.WARNING)

    # weak=False: Celery would otherwise forget these functions at once.
    setup_logging.connect(configure, weak=False)
    worker_init.connect(start, weak=False)
    worker_shutting_down.connect(drain, weak=False)
    worker_shutdown.connect(stop, weak=False)
    return app


def serve(app: Celery, settings: Settings) -> Service:
    """Load the engine and begin to take jobs."""
    model, source = settings.served_model
    engine = load_engine(source, settings)
    service = Service(settings, engine, kind_of(source), sampling_of(source))
    tasks.register(app, service.runner)
    threading.excepthook = end_with_thread
    service.start()
    REGISTRY.register(EngineMetrics(model, engine.slots, engine.stats))
    serve_metrics(settings.metrics_port)
    return service


def load_engine(source: str, settings: Settings) -> Engine:
    engine = Engine.load(
        source,
        slots=settings.slots,
        device=settings.device,
        precision=settings.precision,
        threads=settings.threads,
        spins=settings.spin,
        kv_tokens=settings.kv_tokens,
    )
    # What loading made stays; the garbage collector would look through all of it again and again.
    gc.freeze()
    return engine


def wake_celery() -> None:
    """Have Celery's event loop notice now that it is to stop: on a quiet queue it sleeps for seconds.

    Not from a signal handler: a loop does not wake itself.
    """
    loop = get_event_loop()
    if loop is not None:
        loop.call_soon(lambda: None)  # type: ignore[no-untyped-call]


def end_with_thread(crash: threading.ExceptHookArgs) -> None:
    """End the process when one of its own threads has died: the heartbeat alone would keep its jobs."""
    name = crash.thread.name if crash.thread else ""
    log.critical("thread died", extra={"action": "thread_died", "died": name}, exc_info=crash.exc_value)
    if name in ESSENTIAL:
        os._exit(os.EX_SOFTWARE)


app = create_app(load_settings())
