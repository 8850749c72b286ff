"""The Celery tasks."""

from celery import Celery

from quire.queue import WAKE
from worker.runner import Runner


def register(app: Celery, runner: Runner) -> None:
    """Give the application its one task: wake a slot."""
    app.task(runner.serve, name=WAKE, shared=False)  # not the task of every application of the process
