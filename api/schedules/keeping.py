"""The use cases of schedules: make, edit, pause, run now, preview, look back."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any
from uuid import UUID

from pydantic_core import PydanticCustomError
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from api.cursors import place, position
from api.schedules import answers
from api.schedules.requests import (
    OccurrenceQuery,
    PreviewRequest,
    ScheduleQuery,
    ScheduleRequest,
    TimingRequest,
)
from quire import ids
from quire.asking.drafting import Catalogue, drafted
from quire.asking.request import BatchItem
from quire.asking.validation import checked
from quire.crypto import DataKey, KeyRing
from quire.database import Database
from quire.errors import BadRequest, FieldProblem, InvalidField, NotFound, QuotaExceeded
from quire.quotas import Allowance
from quire.schedules import firing, making, planning
from quire.schedules.target import Target
from quire.schedules.timing import NotATiming, Timing, zone_of
from quire.store import Occurrence, Schedule, ScheduleVersion, Tenant, job_counts
from quire.store.base import now

PARTS = (  # of a request that are columns
    *("name", "zone", "catch_up", "catch_up_most", "overlap", "jitter_seconds", "publish_by"),
)


class Schedules:
    """Each method is one transaction of the tenant. NotFound: it is not the tenant's."""

    def __init__(self, database: Database, ring: KeyRing, catalogue: Catalogue, *, most: int) -> None:
        self._database = database
        self._ring = ring
        self._catalogue = catalogue
        self._most = most

    def make(self, tenant_id: UUID, wanted: ScheduleRequest) -> answers.Schedule:
        """Make a schedule.

        Raises:
            InvalidField: its time cannot be read or never comes, or its template makes no job; the field is named.
            ModelNotReady: no worker has ever loaded a model that it needs.
            QuotaExceeded: the tenant has as many as it may.

        """
        with self._database.tenant(tenant_id) as session:
            self._check_room(session, tenant_id)
            row = Schedule(id=ids.new_id(), tenant_id=tenant_id, version=1, fired=0, lead_seconds=0, paused=False)
            key = self._key(session, tenant_id)
            self._set(session, row, wanted, key)
            # Ten thousand rows take seconds to check, for which the tenant's submissions need not wait.
            job_counts.serialise_submissions(session, tenant_id)
            self._check_room(session, tenant_id)
            session.add(row)
            self._keep(session, row, wanted, key)
            return _shown(row, key, now(session))

    def edit(self, tenant_id: UUID, schedule_id: UUID, wanted: ScheduleRequest) -> answers.Schedule:
        """Put another in its place, from now on; what it was is kept. Occurrences go on counting."""
        with self._database.tenant(tenant_id) as session:
            row, key = _find(session, tenant_id, schedule_id, lock=True), self._key(session, tenant_id)
            row.version += 1
            self._set(session, row, wanted, key)
            self._keep(session, row, wanted, key)
            return _shown(row, key, now(session))

    def one(self, tenant_id: UUID, schedule_id: UUID) -> answers.Schedule:
        with self._database.tenant(tenant_id) as session:
            row = _find(session, tenant_id, schedule_id)
            return _shown(row, self._key(session, tenant_id), now(session))

    def page(self, tenant_id: UUID, query: ScheduleQuery) -> answers.SchedulePage:
        before = position(ids.SCHEDULE, query.after)
        wanted = select(Schedule).where(Schedule.tenant_id == tenant_id).order_by(Schedule.id.desc())
        if before is not None:
            wanted = wanted.where(Schedule.id < before)
        with self._database.tenant(tenant_id) as session:
            rows = session.scalars(wanted.limit(query.limit + 1)).all()
            key, moment = self._key(session, tenant_id), now(session)
        return answers.SchedulePage(
            data=[_shown(row, key, moment) for row in rows[: query.limit]],
            **place(ids.SCHEDULE, rows, query.limit),
        )

    def delete(self, tenant_id: UUID, schedule_id: UUID) -> None:
        """Delete a schedule with its history and occurrences; the batches that it made stay."""
        with self._database.tenant(tenant_id) as session:
            session.delete(_find(session, tenant_id, schedule_id, lock=True))

    def pause(self, tenant_id: UUID, schedule_id: UUID, *, paused: bool) -> answers.Schedule:
        with self._database.tenant(tenant_id) as session:
            row = _find(session, tenant_id, schedule_id, lock=True)
            if paused:
                firing.pause(session, row)
            else:
                firing.resume(session, row)
            return _shown(row, self._key(session, tenant_id), now(session))

    def run(self, tenant_id: UUID, schedule_id: UUID) -> answers.Occurrence:
        """Fire it once more, now, paused or not."""
        with self._database.tenant(tenant_id) as session:
            return _occurrence(firing.run_now(session, _find(session, tenant_id, schedule_id, lock=True)))

    def history(self, tenant_id: UUID, schedule_id: UUID) -> answers.History:
        """Return what it was asked to be, newest first."""
        with self._database.tenant(tenant_id) as session:
            row, key = _find(session, tenant_id, schedule_id), self._key(session, tenant_id)
            wanted = select(ScheduleVersion).where(ScheduleVersion.schedule_id == row.id)
            kept = session.scalars(wanted.order_by(ScheduleVersion.version.desc())).all()
        return answers.History(data=[
            answers.Version(
                version=each.version,
                asked=json.loads(key.open(each.body, f"{making.place(row.id)}:{each.version}")),
                created_at=each.created_at,
            )
            for each in kept
        ])  # fmt: skip

    def upcoming(self, tenant_id: UUID, schedule_id: UUID, count: int) -> answers.Preview:
        with self._database.tenant(tenant_id) as session:
            row = _find(session, tenant_id, schedule_id)
            moments = list(islice(firing.upcoming(row, now(session)), count))
        return _preview(moments, row.zone)

    def preview(self, tenant_id: UUID, wanted: PreviewRequest) -> answers.Preview:
        """Return the first moments of a schedule that is not made."""
        with self._database.tenant(tenant_id) as session:
            moment = now(session)
        timing = _timing(wanted, moment)
        moments = islice((each for each in timing.after(moment)), wanted.count)
        return _preview([each for each in moments if not wanted.ends_at or each <= wanted.ends_at], wanted.zone)

    def occurrences(self, tenant_id: UUID, schedule_id: UUID, query: OccurrenceQuery) -> answers.OccurrenceList:
        with self._database.tenant(tenant_id) as session:
            row = _find(session, tenant_id, schedule_id)
            wanted = select(Occurrence).where(Occurrence.schedule_id == row.id)
            if query.state:
                wanted = wanted.where(Occurrence.state.in_(query.state))
            if query.before is not None:
                wanted = wanted.where(Occurrence.moment < query.before)
            found = session.scalars(wanted.order_by(Occurrence.moment.desc()).limit(query.limit + 1)).all()
        return answers.OccurrenceList(
            data=[_occurrence(each) for each in found[: query.limit]], has_more=len(found) > query.limit
        )

    def _check_room(self, session: Session, tenant_id: UUID) -> None:
        there = session.scalar(select(func.count()).where(Schedule.tenant_id == tenant_id)) or 0
        if there >= self._most:
            left = Allowance("schedules", self._most, 0, 60)
            raise QuotaExceeded(f"The tenant has {there} schedules; its limit is {self._most}.", left)

    def _set(self, session: Session, row: Schedule, wanted: ScheduleRequest, key: DataKey) -> None:
        """Make a row what is asked for, and plan its next moment."""
        moment = now(session)
        timing = _timing(wanted, moment)
        for part in PARTS:
            setattr(row, part, getattr(wanted, part))
        row.kind, row.expression, row.starts_at = timing.kind, timing.expression, timing.start
        row.ends_at, row.updated_at = wanted.ends_at, moment
        target = _target(wanted)
        row.body = key.seal(target.encode(), making.place(row.id))
        firing.plan(row, max(moment, timing.start - timedelta(microseconds=1)))
        if row.next_at is None:
            raise InvalidField.one(wanted.field, "There is no such moment in the next twelve years")
        self._check(session, row, target, key)
        row.lead_seconds, row.planned_at = 0, None
        if row.publish_by:
            planning.measure(session, row, moment)

    def _check(self, session: Session, row: Schedule, target: Target, key: DataKey) -> None:
        """Make the jobs of its rows, once each, and throw them away: what is wrong is told now."""
        sample = target.model_copy(update={"rows_per_run": None})
        moment = row.next_at or now(session)
        for index, entry in enumerate(making.entries(sample, (row.id, moment), row.zone, 1)):
            try:
                if entry.error is not None:
                    raise entry.error
                item = checked(BatchItem, dict(entry.value or {}))
                drafted(row.id, row.tenant_id, key, item, self._catalogue.find(session, item.need))
            except BadRequest as error:
                raise _of_template(error, index if target.rows else None) from None

    def _keep(self, session: Session, row: Schedule, wanted: ScheduleRequest, key: DataKey) -> None:
        """Remember what was asked for."""
        session.flush()
        asked = wanted.model_dump_json(exclude_unset=True).encode()
        body = key.seal(asked, f"{making.place(row.id)}:{row.version}")
        session.add(ScheduleVersion(schedule_id=row.id, version=row.version, tenant_id=row.tenant_id, body=body))
        session.flush()
        session.refresh(row)

    def _key(self, session: Session, tenant_id: UUID) -> DataKey:
        return self._ring.unwrap(session.get_one(Tenant, tenant_id).wrapped_key, tenant_id)


def _timing(wanted: TimingRequest, begin: datetime) -> Timing:
    timing = wanted.timing(begin)
    try:
        timing.check()
    except (NotATiming, PydanticCustomError) as error:
        raise InvalidField.one(wanted.field, f"It {error}") from None
    return timing


def _of_template(error: BadRequest, row: int | None) -> InvalidField:
    where = "template" if row is None else f"rows.{row}"
    named = tuple(FieldProblem(f"{where}.{each.field}".rstrip("."), each.message) for each in error.fields)
    fields = named or (FieldProblem(where, error.detail),)
    return InvalidField(f"{fields[0].field}: {fields[0].message}", fields=fields)


def _target(wanted: ScheduleRequest) -> Target:
    return Target(
        **{name: getattr(wanted, name) for name in Target.model_fields if name != "rows"},
        rows=wanted.rows or [],
    )


def _find(session: Session, tenant_id: UUID, schedule_id: UUID, *, lock: bool = False) -> Schedule:
    wanted = select(Schedule).where(Schedule.id == schedule_id, Schedule.tenant_id == tenant_id)
    row = session.scalar(wanted.with_for_update(key_share=True) if lock else wanted)
    if row is None:
        raise NotFound
    return row


def _shown(row: Schedule, key: DataKey, moment: datetime) -> answers.Schedule:
    target = Target.decode(key.open(row.body, making.place(row.id)))
    shown: dict[str, Any] = {name: getattr(target, name) for name in Target.model_fields}
    shown |= {part: getattr(row, part) for part in PARTS}
    late = row.next_at is not None and firing.is_late(row, row.next_at, moment)
    return answers.Schedule(
        **shown,
        id=ids.show(ids.SCHEDULE, row.id),
        version=row.version,
        cron=row.expression if row.kind == "cron" else None,
        rule=row.expression if row.kind == "rule" else None,
        at=datetime.fromisoformat(row.expression) if row.kind == "at" else None,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        paused=row.paused,
        next_at=row.next_at,
        fire_at=row.fire_at,
        lead_seconds=row.lead_seconds,
        feasible=not late,
        fired=row.fired,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _preview(moments: Sequence[datetime], zone: str) -> answers.Preview:
    local = zone_of(zone)
    return answers.Preview(
        data=[answers.Firing(moment=each, local=each.astimezone(local).isoformat()) for each in moments]
    )


def _occurrence(row: Occurrence) -> answers.Occurrence:
    return answers.Occurrence(
        moment=row.moment,
        number=row.number,
        state=row.state,
        why=row.why,
        manual=row.manual,
        late=row.late,
        version=row.version,
        batch_id=ids.show(ids.BATCH, row.batch_id) if row.batch_id else None,
        fired_at=row.fired_at,
        started_at=row.started_at,
    )
