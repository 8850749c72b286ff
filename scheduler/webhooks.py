"""Delivers webhooks. Threads talk to endpoints; the duty itself moves work and outcomes, and waits for nobody.

An endpoint is in one thread's hands at a time. Those that have failed lately have threads of their own, so that
dead ones, which take the longest, never keep others waiting.
"""

import logging
import queue
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy.orm import Session

from quire import ids
from quire.crypto import KeyRing
from quire.database import Database
from quire.errors import UndecryptableError
from quire.store import Tenant
from quire.webhooks import delivering, signing
from quire.webhooks.delivering import Due, Outcome, Room
from quire.webhooks.events import body
from scheduler.sending import Line

log = logging.getLogger(__name__)

HEALTHY, SUSPECT = 32, 16  # endpoints that are talked to at once
SHARE = 4  # a tenant has at most one in so many of these
EACH = 50  # deliveries of one endpoint that a thread takes along
CHUNK_SECONDS = 15.0  # after which it gives back what is left: with the last attempt, well within the lease

Keys = Sequence[str]


class Webhooks:
    def __init__(self, database: Database, ring: KeyRing, *, allow_private: bool) -> None:
        self._database = database
        self._ring = ring
        self._allow_private = allow_private
        self._work: queue.SimpleQueue[tuple[Keys, Sequence[Due]]] = queue.SimpleQueue()
        self._threads = 0
        self._lock = threading.Lock()
        self._outcomes: list[Outcome] = []
        self._untried: list[Due] = []
        self._busy: dict[UUID, bool] = {}  # endpoints in a thread's hands, and whether they have failed lately

    def run(self) -> int:
        """Write what has come of earlier attempts and start those that are due; returns the attempts written."""
        with self._lock:
            outcomes, self._outcomes = self._outcomes, []
            untried, self._untried = self._untried, []
            busy = dict(self._busy)
        try:
            with self._database.service() as session:
                delivering.write(session, outcomes)
                delivering.give_back(session, untried)
        except Exception:
            with self._lock:
                self._outcomes, self._untried = outcomes + self._outcomes, untried + self._untried
            raise
        self._start(busy)
        return len(outcomes)

    def _start(self, busy: dict[UUID, bool]) -> None:
        suspects = sum(busy.values())
        with self._database.service() as session:
            work = delivering.take(
                session,
                healthy=Room(HEALTHY - (len(busy) - suspects), HEALTHY // SHARE),
                suspects=Room(SUSPECT - suspects, SUSPECT // SHARE),
                each=EACH,
                busy=busy,
            )
            keys = {endpoint: self._keys(session, dues[0]) for endpoint, dues in work.items()}
        with self._lock:
            self._busy |= {endpoint: dues[0].endpoint.failures > 0 for endpoint, dues in work.items()}
            wanted = len(self._busy)
        for endpoint, dues in work.items():
            self._work.put((keys[endpoint], dues))
        while self._threads < wanted:
            threading.Thread(target=self._serve, name=f"webhooks-{self._threads}", daemon=True).start()
            self._threads += 1

    def _keys(self, session: Session, due: Due) -> Keys:
        """Open an endpoint's secret, and the one before while that signs as well; none if they do not open."""
        endpoint = due.endpoint
        sealed = [endpoint.secret]
        if endpoint.old_secret and endpoint.old_until and endpoint.old_until > datetime.now(UTC):
            sealed.append(endpoint.old_secret)
        tenant = session.get_one(Tenant, endpoint.tenant_id)
        try:
            key = self._ring.unwrap(tenant.wrapped_key, tenant.id)
            return [key.open(each, signing.place(endpoint.id)).decode() for each in sealed]
        except UndecryptableError as error:
            log.error(str(error), extra={"action": "webhook_unsigned", "endpoint": str(endpoint.id)})  # noqa: TRY400
            return ()

    def _serve(self) -> None:
        while True:
            keys, dues = self._work.get()
            line = Line(dues[0].endpoint.url, allow_private=self._allow_private)
            try:
                self._deliver(line, keys, dues)
            except Exception:
                log.exception("webhooks failed", extra={"action": "webhooks_failed"})
            finally:
                line.close()
                with self._lock:
                    self._busy.pop(dues[0].endpoint.id, None)

    def _deliver(self, line: Line, keys: Keys, dues: Sequence[Due]) -> None:
        """Send one after the other, as long as they are taken; what is left is given back."""
        spent = 0.0
        for index, due in enumerate(dues):
            outcome = self._attempt(line, keys, due)
            spent += outcome.seconds
            with self._lock:
                self._outcomes.append(outcome)
                if not outcome.delivered or spent > CHUNK_SECONDS:
                    self._untried += dues[index + 1 :]
                    return

    def _attempt(self, line: Line, keys: Keys, due: Due) -> Outcome:
        if not keys:
            return Outcome(due, 0.0, error="Its secret cannot be opened: see the server's log.")
        content = body(due.event)
        headers = signing.headers(keys, ids.show(ids.EVENT, due.event.id), datetime.now(UTC), content)
        answer = line.send(headers, content)
        return Outcome(due, answer.seconds, answer.status, answer.error)
