"""Keeps as many tokens on each queue as there are slots that could use one."""

from celery import Celery
from redis import Redis

from quire import queue
from quire.database import Database
from quire.store import job_counts


def missing(startable: int, free_slots: int, waiting: int) -> int:
    """How many tokens a queue lacks."""
    return max(0, min(startable, free_slots) - waiting)


def top_up(database: Database, client: Redis, app: Celery) -> int:
    """Publish what is missing; makes good for tokens that were lost or never sent."""
    with database.service() as session:
        free = {model: slots for model, slots in job_counts.free_slots_by_model(session).items() if slots}
        startable = {model: job_counts.startable(session, model, slots) for model, slots in free.items()}
    published = 0
    for model, count in startable.items():
        lack = missing(count, free[model], queue.length(client, model)) if count else 0
        if lack:
            queue.publish(app, model, lack)
            published += lack
    return published
