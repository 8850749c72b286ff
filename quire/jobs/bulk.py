"""Submitting many jobs at once: one transaction, all or none, written by COPY."""

from collections import Counter
from collections.abc import Sequence
from datetime import date
from uuid import UUID

from psycopg.types.json import Jsonb
from sqlalchemy import text
from sqlalchemy.orm import Session

from quire import ids
from quire.database import copying
from quire.jobs.admission import admit, reserve
from quire.jobs.backlogs import Backlogs
from quire.jobs.submitting import Once, Submission, first_made_before
from quire.quotas import Quotas
from quire.store import idempotency
from quire.store import lane as lanes
from quire.store.base import now
from quire.store.job import Hold
from quire.store.lane import LaneKey

# COPY cannot enter a table with row-level security, so it goes through one without.
STAGE = text("""
    CREATE TEMPORARY TABLE submitted (
        id uuid, model text, kind text, hold smallint, priority smallint, seed bigint, body bytea, metadata jsonb,
        prompt_tokens integer, max_tokens integer, estimate integer, reserved integer,
        not_before timestamptz, deadline timestamptz, retention_hours integer, background boolean) ON COMMIT DROP
""")
COPY = """
    COPY submitted (id, model, kind, hold, priority, seed, body, metadata, prompt_tokens, max_tokens, estimate,
        reserved, not_before, deadline, retention_hours, background) FROM STDIN
"""
# In the order of the ids, which is that of the submission: `seq`, the age in the lane, is drawn in it.
QUEUE = text("""
    INSERT INTO jobs (id, tenant_id, model, kind, hold, priority, seed, body, metadata, prompt_tokens, max_tokens,
        estimate, not_before, deadline, retention_hours, background)
    SELECT id, :tenant, model, kind, hold, priority, seed, body, metadata, prompt_tokens, max_tokens,
        estimate, not_before, deadline, retention_hours, background
    FROM submitted ORDER BY id
""")
ENTER = text("""
    INSERT INTO ledger (job_id, tenant_id, model, day, reserved)
    SELECT id, :tenant, model, :day, reserved FROM submitted
""")


def submit_many(
    session: Session, tenant_id: UUID, news: Sequence[Submission], *, once: Once | None, quotas: Quotas
) -> list[UUID]:
    """Queue jobs whose ids follow one another; with a key used before, return the ids that it made then.

    Raises:
        IdempotencyKeyReused: the key came with another body.
        QuotaExceeded, DailyTokensExceeded: not all of them fit the tenant's quota, so none is queued.

    """
    first = news[0].id
    if once and not idempotency.enter(session, tenant_id, once.key, once.fingerprint, first):
        earlier = first_made_before(session, tenant_id, once)
        if earlier is not None:
            return ids.run(earlier, len(news))
    admit(session, tenant_id, len(news), max_queued=quotas.max_queued, backlogs=Backlogs())
    models = sorted({new.model for new in news})
    for model in models:
        lanes.open_lane(session, LaneKey(model, tenant_id))
    session.execute(STAGE)
    runnable = _copy(session, news)
    session.execute(QUEUE, {"tenant": tenant_id})
    lanes.wake(session, [LaneKey(model, tenant_id) for model in runnable])
    tokens: Counter[str] = Counter()
    for new in news:
        tokens[new.model] += new.reserved
    day: date = reserve(session, tenant_id, tokens, quotas)
    session.execute(ENTER, {"tenant": tenant_id, "day": day})
    return [new.id for new in news]


def _copy(session: Session, news: Sequence[Submission]) -> set[str]:
    """Stage the rows; returns the models that have runnable ones."""
    moment = now(session)
    runnable = set()
    with copying(session, COPY) as copy:
        for new in news:
            held = new.is_held(moment)
            if not held:
                runnable.add(new.model)
            hold = Hold.NOT_BEFORE if held else Hold.NONE
            copy.write_row((
                new.id, new.model, new.kind.value, int(hold), new.priority, new.seed, new.body,
                Jsonb(new.metadata), new.prompt_tokens, new.max_tokens, new.estimate, new.reserved,
                new.not_before, new.deadline, new.retention_hours, new.background,
            ))  # fmt: skip
    return runnable
