"""Keeps as many tokens on each queue as there are slots that could use one."""

from celery import Celery
from redis import Redis

from quire import queue
from quire.database import Database
from quire.store import job_counts


def missing(runnable: int, free_slots: int, waiting: int) -> int:
    """How many tokens a queue lacks."""
    return max(0, min(runnable, free_slots) - waiting)


def top_up(database: Database, client: Redis, app: Celery) -> int:
    """Publish what is missing; makes good for tokens that were lost or never sent."""
    with database.service() as session:
        runnable = job_counts.runnable_by_model(session)
        free = job_counts.free_slots_by_model(session) if runnable else {}
    published = 0
    for model, count in runnable.items():
        lack = missing(count, free.get(model, 0), queue.length(client, model))
        if lack:
            queue.publish(app, model, lack)
            published += lack
    return published
