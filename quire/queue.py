"""Celery's side of the queue: tokens that wake a slot. A token means nothing by itself and may be lost.

One Celery queue for each model. The API publishes a token for each submission; the scheduler tops tokens up to
what is runnable; workers also look at Postgres once a second. So Redis may be flushed at any time.
"""

import logging
import queue
import threading

from celery import Celery
from kombu.entity import Queue
from redis import Redis

log = logging.getLogger(__name__)

WAKE = "quire.wake"


def queue_name(model: str) -> str:
    return f"quire.{model}"


def celery_app(redis_url: str, model: str | None = None) -> Celery:
    """Build the Celery application that producers and workers share; a worker consumes its model's queue."""
    app = Celery("quire", broker=redis_url, set_as_current=False)
    app.conf.update(
        task_ignore_result=True,
        task_acks_late=False,  # early: a token is a hint, and redelivery of a hint would only cost
        worker_disable_prefetch=True,  # a full worker must not hoard tokens that an idle one could use
        broker_channel_error_retry=True,  # a Redis whose disk is full refuses its commands: no reason to exit
        task_serializer="json",
        accept_content=["json"],
        broker_connection_retry_on_startup=True,
        broker_transport_options={"socket_timeout": 5, "socket_connect_timeout": 2, "socket_keepalive": True},
        worker_hijack_root_logger=False,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
    )
    if model is None:
        app.conf.broker_transport_options["max_retries"] = 0  # kombu would try to connect for six seconds
    else:
        app.conf.task_queues = [Queue(queue_name(model))]  # type: ignore[no-untyped-call]
    return app


class Publisher:
    """Publishes tokens from one thread of the process, and drops them when it cannot.

    A submission is committed before its token is handed over, so a lost token costs at most the second until a
    worker looks for itself; a slow publish never delays a request.
    """

    def __init__(self, redis_url: str, *, backlog: int = 1000) -> None:
        self._app = celery_app(redis_url)
        self._tokens: queue.Queue[str | None] = queue.Queue(maxsize=backlog)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def wake(self, model: str) -> None:
        """Wake one slot of a model. Returns at once, and never raises."""
        with self._lock:  # started by the first use, because a web server may fork after building this
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
                self._thread.start()
        try:
            self._tokens.put_nowait(model)
        except queue.Full:
            log.warning("token dropped", extra={"action": "token_dropped", "model": model})

    def close(self, timeout: float = 2.0) -> None:
        """Publish what is waiting, as far as the time allows."""
        if self._thread is not None:
            self._tokens.put(None)
            self._thread.join(timeout)

    def _run(self) -> None:
        while (model := self._tokens.get()) is not None:
            try:
                publish(self._app, model, 1)
            except Exception as error:  # noqa: BLE001 - a token may be lost, the thread may not
                log.warning("publish failed", extra={"action": "publish_failed", "error": str(error)})


def publish(app: Celery, model: str, count: int) -> None:
    """Put tokens on a model's queue; raises what kombu raises if Redis is away."""
    with app.producer_pool.acquire(block=True, timeout=2) as producer:
        for _ in range(count):
            app.send_task(WAKE, queue=queue_name(model), producer=producer, retry=False)


def length(client: Redis, model: str) -> int:
    """Tokens waiting on a model's queue."""
    return int(client.llen(queue_name(model)))
