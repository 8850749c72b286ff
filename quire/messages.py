"""Notices over Redis: job ids, never text, and any of them may be lost.

On one channel workers tell which jobs have changed, on the other the API tells which are being read.
"""

import json
import logging
import threading
from collections.abc import Callable, Iterable
from uuid import UUID

from redis import Redis, RedisError

log = logging.getLogger(__name__)

CHANGED, READ = "quire.jobs", "quire.readers"
RETRY_SECONDS = 1.0


class Notices:
    """A channel of job ids."""

    def __init__(self, redis_url: str, channel: str = CHANGED) -> None:
        self._channel = channel
        self._redis = Redis.from_url(
            redis_url, socket_timeout=5, socket_connect_timeout=1, socket_keepalive=True, health_check_interval=30
        )

    def send(self, jobs: Iterable[UUID]) -> None:
        """Name jobs; of those that have changed, after the commit that changed them. Never raises."""
        batch = [job.hex for job in jobs]
        if not batch:
            return
        try:
            self._redis.publish(self._channel, json.dumps(batch))
        except RedisError as error:
            log.info("notice dropped", extra={"action": "notice_dropped", "error": str(error)})

    def listen(self, on_notice: Callable[[UUID], None], stop: threading.Event) -> None:
        """Call back for each job named, until `stop`; survives Redis going away. Blocks the thread."""
        while not stop.is_set():
            try:
                with self._redis.pubsub(ignore_subscribe_messages=True) as subscription:  # type: ignore[no-untyped-call]
                    subscription.subscribe(self._channel)
                    while not stop.is_set():
                        message = subscription.get_message(timeout=1.0)
                        for name in json.loads(message["data"]) if message else ():
                            on_notice(UUID(hex=name))
            except (RedisError, ValueError, TypeError) as error:  # the latter two: not a notice of ours
                log.info("notices away", extra={"action": "notices_away", "error": str(error)})
                stop.wait(RETRY_SECONDS)

    def close(self) -> None:
        self._redis.close()
