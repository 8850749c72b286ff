"""What a tenant may use, and how much of it is left."""

from dataclasses import dataclass

DAY = 86_400  # seconds


@dataclass(frozen=True)
class Quotas:
    """What is checked when jobs are submitted."""

    max_queued: int  # jobs waiting at once
    max_tokens_per_day: int | None  # billed and reserved, of one day in UTC; None: no limit


@dataclass(frozen=True)
class Allowance:
    """What is left of a quota, as the header fields RateLimit and RateLimit-Policy tell it (IETF draft 10)."""

    policy: str
    quota: int
    remaining: int
    reset: int  # seconds until there is more
    window: int | None = None  # seconds that the quota is for; None: it is no rate
