"""The worker: a Celery worker whose tasks run jobs in one engine."""
