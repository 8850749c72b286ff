"""Making the batch of an occurrence. However often it is tried, and by whom, one batch is released."""

import logging
import time
from collections.abc import Iterator, Sequence
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

LEASE = timedelta(seconds=120)  # after that an occurrence whose scheduler was lost is tried again
BUSY, OUT = timedelta(seconds=2), timedelta(seconds=30)  # until one that waits for a batch, or for quotas, is
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

    def run(self, seconds: float) -> int:
        """Try occurrences that are due, one after the other, and take none after so many seconds.

        Returns how many got their batch, or their end. One that fails in a way that nobody thought of is put off.
        """
        done, end = 0, time.monotonic() + seconds
        while time.monotonic() < end:
            with self._database.service() as session:
                key = _take(session)
            if key is None:
                break
            try:
                done += self.make(key)
            except Exception:
                log.exception("occurrence failed", extra={"action": "occurrence_failed", "schedule": str(key[0])})
                with self._database.service() as session:
                    _wait(session, key, OUT, "it could not be made; the server's log says why")
        return done

    def make(self, key: Key) -> bool:
        """Try one."""
        with self._database.service() as session:
            order = self._order(session, key)
        if not isinstance(order, DueBatch):
            return order
        try:
            made = batches.take(
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
        return read_items(find, order.owner, batch, asked, self._limits.items)

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


def _wait(session: Session, key: Key, again: timedelta, why: str) -> None:
    row = session.get(Occurrence, key, with_for_update=True)
    if row is not None and row.state is OccurrenceState.DUE:
        row.look_at, row.why = now(session) + again, why[:WHY]
