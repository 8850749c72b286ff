"""Firing: what was due becomes occurrences, and each schedule knows its next moment."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate, count, takewhile
from uuid import UUID

from sqlalchemy import insert, select, text
from sqlalchemy.orm import Session

from quire import ids
from quire.errors import Conflict
from quire.schedules.timing import Timing
from quire.store.base import now
from quire.store.schedule import Occurrence, OccurrenceState, Schedule
from quire.webhooks.events import News, tell

GRACE = timedelta(seconds=60)  # what is acted upon later has been missed
SHOWN = 100  # missed moments of one outage that are recorded as skipped
FIRED = 500  # schedules of one transaction
AHEAD = timedelta(days=1)  # how early a batch is begun at most, whatever it takes
LATE = timedelta(seconds=10)  # of ticks, leads and clocks
KNOWN = text("""
    SELECT schedule_id, moment FROM occurrences
    JOIN unnest(CAST(:schedules AS uuid[]), CAST(:moments AS timestamptz[])) AS asked (schedule_id, moment)
        USING (schedule_id, moment)
""")
MISSED = {"state": OccurrenceState.SKIPPED, "why": "missed", "look_at": None}


@dataclass(frozen=True)
class Due:
    """What becomes of the moments that are due: fired or skipped, in order; and the next one."""

    fired: Sequence[datetime]
    skipped: Sequence[datetime]
    following: datetime | None


def timing_of(row: Schedule) -> Timing:
    return Timing(row.kind, row.expression, row.zone, row.starts_at)  # type: ignore[arg-type] # one of three


def acted_at(row: Schedule, moment: datetime) -> datetime:
    """Return when a moment is acted upon: later by its own jitter, or earlier by the lead."""
    jitter = timedelta(seconds=_drawn(row.id, moment) % (row.jitter_seconds + 1))
    return moment + jitter - _lead(row)


def seed_of(schedule: UUID, moment: datetime, index: int) -> int:
    """Return the seed of an item, 53 bits that follow from the schedule, the moment and the item's index."""
    return _drawn(schedule, moment, index) >> 11


def upcoming(row: Schedule, after: datetime) -> Iterator[datetime]:
    """Yield the moments of a schedule after this one."""
    for moment in timing_of(row).after(after):
        if row.ends_at is not None and moment > row.ends_at:
            return
        yield moment


def plan(row: Schedule, after: datetime) -> None:
    """Set the next moment of a schedule, and when it is acted upon."""
    row.next_at = next(upcoming(row, after), None)
    row.fire_at = None if row.next_at is None else acted_at(row, row.next_at)


def due_of(row: Schedule, moment: datetime) -> Due:
    """Say what becomes of the moments of a schedule that are due by now, after its policy for those missed.

    They are acted upon in their order: none before those that come before it, however their jitter falls.
    """
    if row.next_at is None:
        return Due((), (), None)
    found, following = _passed(row, row.next_at, moment + _lead(row))
    acted = accumulate((acted_at(row, each) for each in found), max)
    due = list(takewhile(lambda pair: pair[1] <= moment, zip(found, acted, strict=True)))
    if len(due) < len(found):
        following = found[len(due)]
    # One that is to be complete by its moment is not missed before that.
    missed = [each for each, _ in takewhile(lambda pair: moment - max(pair) > GRACE, due)]
    fresh = [each for each, _ in due[len(missed) :]]
    made_good = {"skip": 0, "once": 0 if fresh else 1, "all": row.catch_up_most}[row.catch_up]
    kept = missed[len(missed) - made_good :] if made_good else []
    skipped = missed[: max(0, len(missed) - made_good)]
    return Due([*kept, *fresh], skipped[-SHOWN:], following)


def _passed(row: Schedule, first: datetime, until: datetime) -> tuple[list[datetime], datetime | None]:
    """Return the moments from `first` up to `until`, the last of them if there are many, and the one behind."""
    following = next(upcoming(row, first), None)
    if following is None or following > until:  # as nearly always
        return [first], following
    if row.ends_at is not None:
        until = min(until, row.ends_at)
    found = timing_of(row).last(first - timedelta(microseconds=1), until, max(SHOWN, row.catch_up_most) + 1)
    return found, next(upcoming(row, found[-1]), None)


def _lead(row: Schedule) -> timedelta:
    return min(timedelta(seconds=row.lead_seconds), AHEAD)


def fire(session: Session, limit: int = FIRED) -> int:
    """Record what is due; returns how many occurrences that made. Schedules that others have locked are theirs."""
    moment = now(session)
    ready = select(Schedule).where(Schedule.paused.is_(False), Schedule.fire_at <= moment)
    rows = session.scalars(
        ready.order_by(Schedule.fire_at).limit(limit).with_for_update(key_share=True, skip_locked=True)
    ).all()
    dues = [(row, due_of(row, moment)) for row in rows]
    known = _known(session, dues)
    made: list[dict[str, object]] = []
    news: list[News] = []
    for row, due in dues:
        numbers = count(row.fired + 1)
        fired = [each for each in due.fired if (row.id, each) not in known]
        made += [_occurrence(row, each, moment, 0) | MISSED for each in due.skipped if (row.id, each) not in known]
        for each in fired:
            late = is_late(row, each, moment)
            made.append(_occurrence(row, each, moment, next(numbers)) | {"late": late})
            if late:
                told = {"moment": each.isoformat(), "lead_seconds": row.lead_seconds}
                news.append(News(row.tenant_id, "schedule.late", ids.show(ids.SCHEDULE, row.id), told))
        row.fired += len(fired)
        row.next_at = due.following
        row.fire_at = None if due.following is None else acted_at(row, due.following)
    if made:
        session.execute(insert(Occurrence), made)
    tell(session, news)
    session.flush()
    return len(made)


def _known(session: Session, dues: Sequence[tuple[Schedule, Due]]) -> set[tuple[UUID, datetime]]:
    """Return which of these moments have an occurrence: of before an edit. The schedules are locked."""
    asked = [(row.id, each) for row, due in dues for each in (*due.fired, *due.skipped)]
    columns = {"schedules": [schedule for schedule, _ in asked], "moments": [moment for _, moment in asked]}
    return {(schedule, moment) for schedule, moment in session.execute(KNOWN, columns)}


def is_late(row: Schedule, moment: datetime, begin: datetime) -> bool:
    """Whether a batch that begins then cannot, by what was measured, be complete by its moment."""
    return row.publish_by and begin + timedelta(seconds=row.lead_seconds) > moment + LATE


def run_now(session: Session, row: Schedule) -> Occurrence:
    """Fire a locked schedule once more, now; its series goes on as it was."""
    moment = now(session)
    row.fired += 1
    values = _occurrence(row, moment, moment, row.fired) | {"manual": True}
    session.execute(insert(Occurrence).values(values))
    session.flush()
    return session.get_one(Occurrence, (row.id, moment))


def pause(session: Session, row: Schedule) -> None:
    row.paused = True
    session.flush()


def resume(session: Session, row: Schedule) -> None:
    """Let a paused schedule go on with its next moment; what it missed was meant to be missed.

    Raises:
        Conflict: there is no moment left.

    """
    if not row.paused:
        return
    plan(row, now(session))
    if row.next_at is None:
        raise Conflict("The schedule has no moment left.")
    row.paused = False
    session.flush()


def _occurrence(row: Schedule, moment: datetime, fired_at: datetime, number: int) -> dict[str, object]:
    return {
        "schedule_id": row.id,
        "moment": moment,
        "tenant_id": row.tenant_id,
        "version": row.version,
        "number": number,
        "state": OccurrenceState.DUE,
        "why": None,
        "look_at": fired_at,
        "late": False,
    }


def _drawn(schedule: UUID, moment: datetime, index: int = 0) -> int:
    """Return 64 bits that follow from all three."""
    named = f"{schedule}:{moment.astimezone(UTC).isoformat()}:{index}".encode()
    return int.from_bytes(hashlib.sha256(named).digest()[:8], "big")
