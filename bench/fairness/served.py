"""Who was served how much and when, from the jobs that have ended."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from uuid import UUID

import psycopg


@dataclass(frozen=True)
class Ended:
    """A job that has succeeded; times in seconds since 1970, by Postgres's clock."""

    tenant: UUID
    started: float
    finished: float
    work: int  # tokens of the prompt and of the text


@dataclass(frozen=True)
class Window:
    """A stretch of time in which some tenants all had jobs waiting."""

    begin: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.begin


ENDED = """
    SELECT tenant_id, extract(epoch FROM started_at)::float8, extract(epoch FROM finished_at)::float8,
        prompt_tokens + completion_tokens
    FROM jobs WHERE state = 'succeeded' AND tenant_id = ANY (%s) ORDER BY finished_at
"""


def ended(url: str, tenants: Sequence[UUID]) -> list[Ended]:
    """Return what these tenants were served, in the order in which it ended."""
    with psycopg.connect(url) as connection:
        return [Ended(*row) for row in connection.execute(ENDED, [list(tenants)])]


def backlogged(jobs: Sequence[Ended], settle: float = 0.0) -> Window:
    """Return when all tenants had jobs waiting: until the first of them started its last job.

    The window begins `settle` seconds after all were first served.
    """
    tenants = {job.tenant for job in jobs}
    first = max(min(job.started for job in jobs if job.tenant == tenant) for tenant in tenants)
    last = min(max(job.started for job in jobs if job.tenant == tenant) for tenant in tenants)
    return Window(first + settle, last)


def tokens_in(jobs: Sequence[Ended], window: Window) -> dict[UUID, int]:
    tokens: dict[UUID, int] = {job.tenant: 0 for job in jobs}
    for job in jobs:
        if window.begin <= job.finished < window.end:
            tokens[job.tenant] += job.work
    return tokens


@dataclass(frozen=True)
class Gap:
    """The service of two tenants, one less the other, at the times when it changed."""

    values: Sequence[int]

    @property
    def widest(self) -> int:
        """Since both were first served."""
        return max(abs(value) for value in self.values)

    @property
    def widest_between(self) -> int:
        """Of any interval inside the window."""
        return max(self.values) - min(self.values)


def gaps(jobs: Sequence[Ended], window: Window) -> Iterator[Gap]:
    """Yield one for each pair of tenants."""
    for one, other in combinations(sorted({job.tenant for job in jobs}), 2):
        signs = {one: 1, other: -1}
        values = [0]
        for job in jobs:
            if job.finished < window.end and job.tenant in signs:
                values.append(values[-1] + signs[job.tenant] * job.work)
        yield Gap(values)
