"""The worker's lease: a row in Postgres, renewed every second, on a connection of its own."""

import logging
import os
import socket
import threading
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError

from quire.database import Database
from quire.ids import new_id
from quire.store import worker as workers

log = logging.getLogger(__name__)


class Lease:
    """Keeps a worker alive in the eyes of the others.

    A lease that was lost (the row is gone) is not mended: the worker goes on under a new id, and the fences
    of its jobs decide which of them it may still write.
    """

    def __init__(
        self, database: Database, *, model: str, slots: int, numerics: str | None, seconds: float, heartbeat: float
    ) -> None:
        self._database = database
        self._row = {
            "model": model, "slots": slots, "numerics": numerics, "lease": seconds,
            "host": socket.gethostname(), "pid": os.getpid(),
        }  # fmt: skip
        self._seconds = seconds
        self._heartbeat = heartbeat
        self._draining = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
        self.id: UUID = new_id()

    def start(self) -> None:
        """Enter the row, which must succeed, and keep it."""
        self._enter()
        self._thread.start()

    def drain(self) -> None:
        """Tell the others that this worker takes no more jobs."""
        self._draining = True

    def leave(self) -> None:
        """End the lease. Jobs still running under it are taken over at once."""
        self._stop.set()
        self._thread.join(timeout=5)
        try:
            with self._database.service() as session:
                session.execute(workers.LEAVE, {"id": self.id})
        except SQLAlchemyError:
            log.warning("lease left to lapse", extra={"action": "lease_left"}, exc_info=True)

    def renew(self) -> None:
        """One heartbeat."""
        with self._database.service() as session:
            renewed = session.execute(
                workers.RENEW, {"id": self.id, "lease": self._seconds, "draining": self._draining}
            ).first()
        if renewed is None:
            log.warning("lease lost", extra={"action": "lease_lost", "worker": str(self.id)})
            self._enter()

    def _enter(self) -> None:
        worker_id = new_id()
        with self._database.service() as session:
            session.execute(workers.ENTER, self._row | {"id": worker_id})
        self.id = worker_id
        log.info("lease entered", extra={"action": "lease_entered", "worker": str(worker_id)})

    def _run(self) -> None:
        while not self._stop.wait(self._heartbeat):
            try:
                self.renew()
            except SQLAlchemyError as error:
                log.warning("heartbeat failed", extra={"action": "heartbeat_failed", "error": str(error)})
