"""The operator's views: which workers there are, and which jobs are stuck."""

from api import presenter, responses
from api.cursors import place, position
from api.schemas import PageQuery, StuckQuery
from quire import ids
from quire.database import Database
from quire.store import oversight


class Oversight:
    """Each method is one transaction of the operator."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def workers(self, query: PageQuery) -> responses.WorkerPage:
        after = position(ids.WORKER, query.after)
        with self._database.service() as session:
            rows = oversight.workers(session, after=after, limit=query.limit + 1)
        return responses.WorkerPage(
            data=[presenter.worker(row) for row in rows[: query.limit]],
            **place(ids.WORKER, rows, query.limit),
        )

    def stuck(self, query: StuckQuery) -> responses.StuckPage:
        after = position(ids.JOB, query.after)
        with self._database.service() as session:
            rows = oversight.stuck_jobs(session, seconds=query.seconds, after=after, limit=query.limit + 1)
        return responses.StuckPage(
            data=[presenter.stuck(row) for row in rows[: query.limit]],
            **place(ids.JOB, rows, query.limit),
        )
