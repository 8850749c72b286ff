"""Making the batch of an occurrence. However often it is tried, and by whom, one batch is released.

A large one is made in slices of some hundred items, for a scheduler has other things to do. What is made so far is
a batch that nobody sees; if its scheduler is lost, another begins anew.
"""

import logging
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import exists, select
from sqlalchemy.orm import Session, aliased

from quire import batches, ids
from quire.asking.drafting import Catalogue, ChosenModel
from quire.asking.entries import SentItem, filled
from quire.asking.items import Owner, read_items
from quire.asking.request import Need
from quire.batches import Draft, Item, Limits
from quire.crypto import KeyRing
from quire.database import Database
from quire.errors import BadRequest, QuotaExceeded, Unavailable
from quire.schedules.firing import seed_of
from quire.schedules.target import Target, variables
from quire.store import Batch, Tenant
from quire.store.base import now
from quire.store.batch import BatchState
from quire.store.schedule import Occurrence, OccurrenceState, Schedule
from quire.webhooks.events import News, tell

log = logging.getLogger(__name__)

Key = tuple[UUID, datetime]
Slices = Generator[None, None, bool]

LEASE = timedelta(seconds=60)  # after the last slice: then one whose scheduler was lost is tried again
NOW, BUSY, OUT = timedelta(), timedelta(seconds=2), timedelta(seconds=30)  # for a batch, for quotas
WHY = 500  # characters


@dataclass(frozen=True)
class DueBatch:
    """An occurrence that is to get its batch now."""

    key: Key
    owner: Owner
    target: Target
    zone: str
    number: int
    version: int  # of the schedule, that it is made after
    draft: Draft


def entries(target: Target, key: Key, zone: str, number: int) -> Iterator[SentItem]:
    """Yield an item for each row of an occurrence, the template filled; where it names no seed, the item's own."""
    schedule, moment = key
    for index, row in enumerate(target.rows_of(number)):
        seed = seed_of(schedule, moment, index)
        known = variables(moment, zone, number, seed) | dict(row)
        yield from filled({"seed": seed} | target.template, [SentItem(known, where=f"rows.{index}")])


class Maker:
    def __init__(self, database: Database, ring: KeyRing, catalogue: Catalogue, limits: Limits) -> None:
        self._database = database
        self._ring = ring
        self._catalogue = catalogue
        self._limits = limits
        self._begun: tuple[Key, Slices] | None = None

    def run(self, seconds: float) -> int:
        """Try occurrences that are due, one after the other, and begin no slice after so many seconds.

        Returns how many got their batch, or their end. The next run goes on where this one stops.
        """
        done, end = 0, time.monotonic() + seconds
        while time.monotonic() < end:
            if self._begun is None:
                with self._database.service() as session:
                    key = _take(session)
                if key is None:
                    break
                self._begun = key, self.make(key)
            done += self._step(*self._begun)
        return done

    def close(self) -> None:
        """Leave the one that was begun to others."""
        if self._begun is not None:
            (key, slices), self._begun = self._begun, None
            slices.close()
            with self._database.service() as session:
                _wait(session, key, NOW)

    def _step(self, key: Key, slices: Slices) -> int:
        """Make one slice; returns 1 for the last. One that fails in a way that nobody thought of is put off."""
        self._begun = None
        try:
            next(slices)
            with self._database.service() as session:
                held = _wait(session, key, LEASE)
        except StopIteration as end:
            return int(end.value)
        except Exception:
            log.exception("occurrence failed", extra={"action": "occurrence_failed", "schedule": str(key[0])})
            slices.close()
            with self._database.service() as session:
                _wait(session, key, OUT, "it could not be made; the server's log says why")
            return 0
        if held:
            self._begun = key, slices
        else:
            slices.close()
        return 0

    def make(self, key: Key) -> Slices:
        """Try one; returns whether it got its batch, or its end."""
        with self._database.service() as session:
            order = self._order(session, key)
        if not isinstance(order, DueBatch):
            return order
        try:
            made = yield from batches.take_in_pieces(
                self._database.service,
                order.draft,
                self._limits,
                lambda batch: self._items(order, batch),
                lambda session, batch: _start(session, order, batch),
            )
        except BadRequest as error:
            return self._fail(order, error.detail)
        except (QuotaExceeded, Unavailable) as error:
            with self._database.service() as session:
                _wait(session, key, OUT, error.detail)
            return False
        return made is not None

    def _order(self, session: Session, key: Key) -> DueBatch | bool:
        """Return what is to be made; or, if nothing is now, whether the occurrence is over."""
        row = session.get(Occurrence, key, with_for_update=True)
        if row is None or row.state is not OccurrenceState.DUE:
            return False
        schedule, tenant = session.get_one(Schedule, key[0]), session.get_one(Tenant, row.tenant_id)
        if tenant.suspended_at is not None:
            _wait(session, key, OUT, "its tenant is suspended")
            return False
        running = _running(session, key)
        if running and schedule.overlap == "queue":
            _wait(session, key, BUSY, "the batch before runs")
            return False
        if running and schedule.overlap == "skip":
            row.state, row.why, row.look_at = OccurrenceState.SKIPPED, "the batch before ran", None
            return True
        for batch in running:
            batches.cancel(session, row.tenant_id, batch)
        data_key = self._ring.unwrap(tenant.wrapped_key, tenant.id)
        target = Target.decode(data_key.open(schedule.body, place(schedule.id)))
        minutes = target.deadline_minutes
        draft = Draft(
            tenant_id=tenant.id,
            priority=target.priority,
            max_running=target.max_running,
            max_tokens=target.max_tokens,
            deadline=None if minutes is None else now(session) + timedelta(minutes=minutes),
            retention_hours=target.retention_hours,
            metadata=target.metadata,
            schedule_id=schedule.id,
        )
        owner = Owner(tenant.id, data_key, tenant.quotas)
        return DueBatch(key, owner, target, schedule.zone, row.number, schedule.version, draft)

    def _items(self, order: DueBatch, batch: Batch) -> Iterator[Item]:
        def find(need: Need) -> ChosenModel:
            with self._database.service() as session:
                return self._catalogue.find(session, need)

        asked = entries(order.target, order.key, order.zone, order.number)
        # One problem is all that is told, and a search for more would be one long slice.
        return read_items(find, order.owner, batch, asked, self._limits.items, most_problems=1)

    def _fail(self, order: DueBatch, why: str) -> bool:
        with self._database.service() as session:
            row = session.get(Occurrence, order.key, with_for_update=True)
            if row is None or row.state is not OccurrenceState.DUE:
                return False
            row.state, row.why, row.look_at = OccurrenceState.FAILED, why[:WHY], None
            row.version = order.version
            told = {"moment": row.moment.isoformat()}
            tell(session, [News(row.tenant_id, "schedule.failed", ids.show(ids.SCHEDULE, row.schedule_id), told)])
            return True


def place(schedule: UUID) -> str:
    """What the seal of a schedule's target is bound to."""
    return f"schedule:{schedule}"


def _take(session: Session) -> Key | None:
    """Take an occurrence for a while: of each schedule the first, so that they start in their order."""
    earlier = aliased(Occurrence)
    first = ~exists().where(
        earlier.schedule_id == Occurrence.schedule_id,
        earlier.state == OccurrenceState.DUE,
        earlier.moment < Occurrence.moment,
    )
    moment = now(session)
    due = select(Occurrence).where(Occurrence.state == "due", Occurrence.look_at <= moment, first)
    row = session.scalar(due.order_by(Occurrence.look_at).limit(1).with_for_update(skip_locked=True))
    if row is None:
        return None
    row.look_at = moment + LEASE
    return row.schedule_id, row.moment


def _running(session: Session, key: Key) -> Sequence[UUID]:
    """Return the batches of earlier occurrences that are not over."""
    started = select(Batch.id).where(Batch.schedule_id == key[0], Batch.state == BatchState.RUNNING)
    return session.scalars(started.order_by(Batch.id)).all()


def _start(session: Session, order: DueBatch, batch: Batch) -> bool:
    """Give an occurrence its batch, if nobody else has; its version is what the batch was made after."""
    row = session.get(Occurrence, order.key, with_for_update=True, populate_existing=True)
    if row is None or row.state is not OccurrenceState.DUE:
        return False
    row.state, row.why, row.look_at = OccurrenceState.STARTED, None, None
    row.batch_id, row.version, row.started_at = batch.id, order.version, now(session)
    return True


def _wait(session: Session, key: Key, again: timedelta, why: str | None = None) -> bool:
    """Have it looked at again so much later; returns False if there is nothing more to make."""
    row = session.get(Occurrence, key, with_for_update=True)
    if row is None or row.state is not OccurrenceState.DUE:
        return False
    row.look_at, row.why = now(session) + again, why and why[:WHY]
    return True
