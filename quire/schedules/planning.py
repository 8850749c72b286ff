"""Planning: how long before its moment a batch has to start to be complete by then, by what was measured."""

from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from quire.schedules.firing import AHEAD, acted_at
from quire.store import Batch, BatchItem, Forecast
from quire.store.base import now
from quire.store.batch import BatchState
from quire.store.schedule import Schedule

EVERY = timedelta(seconds=60)
PLANNED = 100  # schedules of one transaction
LAST = 5  # batches of a schedule that are looked back at
MARGIN = 1.25
LEAST_SECONDS = 30
UNKNOWN_SECONDS = 600  # where nothing has been measured yet


def replan(session: Session) -> int:
    """Measure the leads of schedules whose next moment is near; returns how many."""
    moment = now(session)
    near = select(Schedule).where(
        Schedule.publish_by,
        Schedule.next_at.is_not(None),
        Schedule.next_at <= moment + 2 * AHEAD,
        (Schedule.planned_at.is_(None)) | (Schedule.planned_at < moment - EVERY),
    )
    rows = session.scalars(
        near.order_by(Schedule.planned_at.nulls_first())
        .limit(PLANNED)
        .with_for_update(key_share=True, skip_locked=True)
    ).all()
    for row in rows:
        measure(session, row, moment)
    session.flush()
    return len(rows)


def measure(session: Session, row: Schedule, moment: datetime) -> None:
    """Set a schedule's lead, and when its next moment is acted upon."""
    row.lead_seconds = lead_seconds(session, row)
    row.planned_at = moment
    if row.next_at is not None:
        row.fire_at = acted_at(row, row.next_at)


def lead_seconds(session: Session, row: Schedule) -> int:
    """Return how long a batch of a schedule will take: the longest of the last, or their work at today's speed."""
    # One that expired took at least as long as it had.
    states = Batch.state.in_((BatchState.COMPLETED, BatchState.EXPIRED))
    done = select(Batch).where(Batch.schedule_id == row.id, states)
    last = session.scalars(done.order_by(Batch.id.desc()).limit(LAST)).all()
    took = [(batch.finished_at - batch.created_at).total_seconds() for batch in last if batch.finished_at]
    if last and (at_this_speed := _seconds_of(session, last[0])):
        took.append(at_this_speed)
    if not took:
        return UNKNOWN_SECONDS
    return max(LEAST_SECONDS, round(max(took) * MARGIN))


def _seconds_of(session: Session, batch: Batch) -> float:
    """Return how long the work of a batch takes at its models' speed now, in seconds; 0 if that is unknown."""
    work = (
        select(BatchItem.model, func.sum(BatchItem.estimate))
        .where(BatchItem.batch_id == batch.id, BatchItem.model.is_not(None))
        .group_by(BatchItem.model)
    )
    seconds = 0.0
    for model, tokens in session.execute(work):
        known = session.get(Forecast, model)
        rate = known.done.speed * known.slots * known.utilisation if known else 0.0
        if known and rate:
            seconds += float(tokens or 0) * known.done.ratio / rate
    return seconds
