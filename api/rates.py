"""How many requests a tenant may send: counted by the minute, over all API processes, in Redis.

While Redis is away each process counts by itself: a limit is then one for each process, and no request waits.
"""

import math
import time
from collections import Counter
from collections.abc import Callable
from threading import Lock
from uuid import UUID

from flask import Response, g
from redis import Redis, RedisError

from quire.errors import RateLimited
from quire.quotas import Allowance

WINDOW = 60  # seconds
PATIENCE = 0.25  # seconds that Redis has to answer
PAUSE = 1.0  # seconds without asking it, after it did not


class Rates:
    def __init__(
        self, redis_url: str, *, clock: Callable[[], float] = time.time, counts: "Redis | None" = None
    ) -> None:
        self._redis = counts or Redis.from_url(redis_url, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE)
        self._clock = clock
        self._away_until = 0.0
        self._lock = Lock()
        self._own: Counter[UUID] = Counter()  # of this process, in the minute `_minute`
        self._minute = 0

    def take(self, tenant_id: UUID, limit: int) -> None:
        """Count a request of a tenant; the answer will tell what is left.

        Raises:
            RateLimited: it is one too many in this minute.

        """
        now = self._clock()
        minute = int(now // WINDOW)
        sent = self._count(tenant_id, minute)
        reset = max(1, math.ceil((minute + 1) * WINDOW - now))
        allowance = Allowance("requests", limit, max(0, limit - sent), reset, WINDOW)
        if sent > limit:
            raise RateLimited(f"The tenant may send {limit} requests a minute.", allowance)
        tell(allowance)

    def _count(self, tenant_id: UUID, minute: int) -> int:
        if self._clock() >= self._away_until:
            try:
                return self._count_together(tenant_id, minute)
            except RedisError:
                self._away_until = self._clock() + PAUSE
        return self._count_alone(tenant_id, minute)

    def _count_together(self, tenant_id: UUID, minute: int) -> int:
        name = f"quire.rate.{tenant_id.hex}.{minute}"
        with self._redis.pipeline(transaction=False) as both:
            both.incr(name)
            both.expire(name, 2 * WINDOW)
            return int(both.execute()[0])

    def _count_alone(self, tenant_id: UUID, minute: int) -> int:
        with self._lock:
            if minute != self._minute:
                self._own.clear()
                self._minute = minute
            self._own[tenant_id] += 1
            return self._own[tenant_id]


def tell(allowance: Allowance) -> None:
    """Have the answer to this request tell what is left."""
    g.setdefault("allowances", {})[allowance.policy] = allowance


def add_headers(response: Response) -> None:
    """Write RateLimit-Policy and RateLimit, if there is anything to tell."""
    allowances = g.get("allowances", {}).values()
    if not allowances:
        return
    response.headers["RateLimit-Policy"] = ", ".join(
        f'"{item.policy}";q={item.quota}' + (f";w={item.window}" if item.window else "") for item in allowances
    )
    response.headers["RateLimit"] = ", ".join(
        f'"{item.policy}";r={item.remaining};t={item.reset}' for item in allowances
    )
