"""Lanes: one for each (model, tenant), served by virtual time. The statements of a fair claim.

Two rules keep a runnable job from being stranded in a lane that is not `ready`:
- whoever makes a job runnable holds the lane's key lock (FOR KEY SHARE) from before it looks at `ready`;
- a claim clears `ready` only under FOR UPDATE, taken with SKIP LOCKED, and looks for jobs in a second
  statement, whose snapshot is younger than the lock.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, select, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from quire.store.base import Base, Big


@dataclass(frozen=True, order=True)
class LaneKey:
    model: str
    tenant_id: UUID


class Lane(Base):
    __tablename__ = "lanes"
    __table_args__ = (
        # In the order in which they are served: a claim reads as many as it has places for, of however many.
        Index("lanes_ready", "model", "virtual_time", postgresql_where=text("ready")),
        {"postgresql_with": {"fillfactor": "50"}},
    )

    model: Mapped[str] = mapped_column(ForeignKey("models.name"), primary_key=True)
    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    virtual_time: Mapped[float] = mapped_column(server_default="0")  # tokens served / weight
    outstanding: Mapped[Big] = mapped_column(server_default="0")  # tokens charged for jobs that still run
    running: Mapped[int] = mapped_column(server_default="0")
    ready: Mapped[bool] = mapped_column(server_default="false")  # may have runnable jobs


OPEN = text("INSERT INTO lanes (model, tenant_id) VALUES (:model, :tenant) ON CONFLICT DO NOTHING")
HOLD_KEY = text("""
    SELECT 1 FROM lanes WHERE (model, tenant_id) IN
        (SELECT * FROM unnest(CAST(:models AS text[]), CAST(:tenants AS uuid[])))
    ORDER BY model, tenant_id FOR KEY SHARE
""")
# A lane that wakes starts no earlier than the model's virtual now: idle time is not banked.
ASLEEP = text("""
    SELECT model, tenant_id FROM lanes WHERE NOT ready AND (model, tenant_id) IN
        (SELECT * FROM unnest(CAST(:models AS text[]), CAST(:tenants AS uuid[])))
    ORDER BY model, tenant_id FOR NO KEY UPDATE
""")
WAKE = text("""
    UPDATE lanes SET ready = true, virtual_time = greatest(virtual_time, virtual_now)
    FROM unnest(CAST(:models AS text[]), CAST(:tenants AS uuid[])) AS asleep (model, tenant_id)
    JOIN models ON models.name = asleep.model
    WHERE lanes.model = asleep.model AND lanes.tenant_id = asleep.tenant_id
""")
# Several lanes are locked in key order before any is changed, or two transactions would cross. In a statement of
# its own: an update that locked them itself would come back to the version of its snapshot, where somebody may
# stand who waits for this transaction.
LOCK = text("""
    SELECT 1 FROM lanes WHERE (model, tenant_id) IN
        (SELECT * FROM unnest(CAST(:models AS text[]), CAST(:tenants AS uuid[])))
    ORDER BY model, tenant_id FOR NO KEY UPDATE
""")
ADJUST = text("""
    UPDATE lanes SET running = lanes.running + change.running,
        outstanding = lanes.outstanding + change.outstanding,
        virtual_time = lanes.virtual_time + change.tokens / tenants.weight
    FROM unnest(CAST(:models AS text[]), CAST(:tenants AS uuid[]), CAST(:running AS int[]),
                CAST(:tokens AS bigint[]), CAST(:outstanding AS bigint[]))
        AS change (model, tenant_id, running, tokens, outstanding)
    JOIN tenants ON tenants.id = change.tenant_id
    WHERE lanes.model = change.model AND lanes.tenant_id = change.tenant_id
""")


CATCH_UP = text("""
    UPDATE lanes SET virtual_time = greatest(virtual_time, virtual_now) FROM models
    WHERE lanes.tenant_id = :tenant AND models.name = lanes.model
""")


@dataclass(frozen=True)
class Change:
    """What one transaction adds to a lane: running jobs, tokens of virtual time, and tokens outstanding."""

    running: int
    tokens: int
    outstanding: int

    @classmethod
    def claimed(cls, estimate: int) -> "Change":
        return cls(1, estimate, estimate)

    @classmethod
    def ended(cls, charged: int, work: int) -> "Change":
        """Return the change that puts the work done in the place of what was charged."""
        return cls(-1, work - charged, -charged)

    @classmethod
    def turn(cls, work: int) -> "Change":
        """Return the change that charges work of a job that runs on."""
        return cls(0, work, 0)

    def __add__(self, other: "Change") -> "Change":
        return Change(
            self.running + other.running, self.tokens + other.tokens, self.outstanding + other.outstanding
        )


def open_lane(session: Session, lane: LaneKey) -> None:
    session.execute(OPEN, {"model": lane.model, "tenant": lane.tenant_id})


def wake(session: Session, lanes: Iterable[LaneKey]) -> None:
    """Mark lanes as ready: to be called after their jobs were made runnable, in the same transaction."""
    keys = sorted(set(lanes))
    if keys:
        session.execute(HOLD_KEY, _arrays(keys))
    wake_held(session, keys)


def wake_held(session: Session, lanes: Iterable[LaneKey]) -> None:
    """Mark lanes as ready whose key this transaction holds, by jobs that it has inserted."""
    if keys := _arrays(sorted(set(lanes))):
        asleep = [LaneKey(*row) for row in session.execute(ASLEEP, keys)]
        if asleep:
            session.execute(WAKE, _arrays(asleep))


def catch_up(session: Session, tenant_id: UUID) -> None:
    """Bring a tenant's lanes up to the virtual now, when what held them back has changed: a pause, say, or a cap.

    They were not served although they had jobs, and must not get the time back at the cost of the others.
    """
    lanes_of_it = select(Lane.model).where(Lane.tenant_id == tenant_id).order_by(Lane.model)
    session.execute(lanes_of_it.with_for_update(key_share=True))
    session.execute(CATCH_UP, {"tenant": tenant_id})


def adjust(session: Session, changes: Iterable[tuple[LaneKey, Change]]) -> None:
    """Add to the counters of several lanes."""
    total: dict[LaneKey, Change] = {}
    for lane, change in changes:
        total[lane] = total[lane] + change if lane in total else change
    if keys := _arrays(ordered := sorted(total)):
        session.execute(LOCK, keys)
        counters = {
            "running": [total[lane].running for lane in ordered],
            "tokens": [total[lane].tokens for lane in ordered],
            "outstanding": [total[lane].outstanding for lane in ordered],
        }
        session.execute(ADJUST, keys | counters)


def _arrays(lanes: list[LaneKey]) -> dict[str, list[Any]]:
    if not lanes:
        return {}
    return {"models": [lane.model for lane in lanes], "tenants": [lane.tenant_id for lane in lanes]}


# ---- the claim -------------------------------------------------------------------------------------------

# One claim at a time for each model. The batch makes that cheap, and everything finer failed under load:
# locking lanes FOR UPDATE made claims wait for each other, SKIP LOCKED on lanes left 97 % of them empty.
SERIALISE = text("SELECT pg_advisory_xact_lock(42, hashtext(:model))")
# FOR KEY SHARE: a plain share lock on this row would make the heartbeat wait for the claim.
HOLD_LEASE = text("""
    SELECT 1 FROM workers WHERE id = :worker AND lease_until > clock_timestamp() AND NOT draining FOR KEY SHARE
""")
# The lanes with the least virtual time offer their first jobs; each job starts where the estimates of those
# before it in its lane would have moved that lane's time; the k earliest starts win.
# Of a lane with p - 1 before it that have a job, no more than k - p + 1 can win: each of those wins its first.
PICK = text("""
    WITH open_lanes AS MATERIALIZED (
        SELECT lanes.tenant_id, virtual_time, weight, virtual_time - outstanding / weight AS settled,
            least(coalesce(max_running, 2147483647) - running, :k) AS room
        FROM lanes JOIN tenants ON tenants.id = lanes.tenant_id
        WHERE lanes.model = :model AND ready AND running < coalesce(max_running, 2147483647)
            AND NOT paused AND suspended_at IS NULL
            AND lanes.tenant_id <> ALL (CAST(:seen AS uuid[]))
        ORDER BY virtual_time LIMIT greatest(:k, 16)),
    backlogged AS MATERIALIZED (
        SELECT open_lanes.*, row_number() OVER (ORDER BY virtual_time) AS place
        FROM open_lanes CROSS JOIN LATERAL (
            SELECT FROM jobs
            WHERE jobs.model = :model AND jobs.tenant_id = open_lanes.tenant_id
                AND state = 'queued' AND hold = 0
            ORDER BY priority DESC, seq LIMIT 1) AS first),
    offers AS MATERIALIZED (
        SELECT next.id, virtual_time + (sum(next.estimate) OVER (
            PARTITION BY backlogged.tenant_id ORDER BY next.priority DESC, next.seq)
            - next.estimate) / weight AS start
        FROM backlogged CROSS JOIN LATERAL (
            SELECT id, estimate, priority, seq FROM jobs
            WHERE jobs.model = :model AND jobs.tenant_id = backlogged.tenant_id
                AND state = 'queued' AND hold = 0
            ORDER BY priority DESC, seq LIMIT least(room, greatest(:k - place + 1, 0))) AS next),
    winners AS MATERIALIZED (SELECT * FROM offers ORDER BY start LIMIT :k),
    locked AS MATERIALIZED (
        SELECT jobs.id, start FROM jobs JOIN winners ON winners.id = jobs.id
        WHERE state = 'queued' AND hold = 0
        ORDER BY jobs.id FOR NO KEY UPDATE OF jobs SKIP LOCKED),
    claimed AS (
        UPDATE jobs SET state = 'running', fence = fence + 1, worker_id = :worker, charged = estimate,
            alone = false, started_at = coalesce(started_at, clock_timestamp()),
            numerics_changed = numerics_changed OR (numerics IS NOT NULL AND numerics IS DISTINCT FROM :numerics),
            numerics = :numerics
        FROM locked WHERE jobs.id = locked.id
        RETURNING jobs.id, jobs.tenant_id, fence, attempts, seed, body, prompt_tokens, estimate, kind, start,
            CAST(extract(epoch FROM deadline - clock_timestamp()) AS float8) AS seconds_left)
    SELECT open_lanes.tenant_id AS lane, open_lanes.settled, claimed.*, master_key, data_key,
        place IS NOT NULL AS backlogged
    FROM open_lanes JOIN tenants ON tenants.id = open_lanes.tenant_id
    LEFT JOIN backlogged ON backlogged.tenant_id = open_lanes.tenant_id
    LEFT JOIN claimed ON claimed.tenant_id = open_lanes.tenant_id
    ORDER BY start
""")
# The model's virtual now is where the lanes served stand by the work that is done. What they were charged for
# jobs that still run is left out: it is an estimate, and a newcomer has nothing running yet.
ADVANCE = text("UPDATE models SET virtual_now = :settled WHERE name = :model AND virtual_now < :settled")
LOCK_EMPTY = text("""
    SELECT tenant_id FROM lanes WHERE model = :model AND tenant_id = ANY (:tenants)
    ORDER BY tenant_id FOR UPDATE SKIP LOCKED
""")
CLEAR = text("""
    UPDATE lanes SET ready = false WHERE model = :model AND tenant_id = ANY (:tenants) AND NOT EXISTS (
        SELECT FROM jobs WHERE jobs.model = lanes.model AND jobs.tenant_id = lanes.tenant_id
            AND state = 'queued' AND hold = 0)
""")


def serialise_claims(session: Session, model: str) -> None:
    session.execute(SERIALISE, {"model": model})


def hold_lease(session: Session, worker_id: UUID) -> bool:
    """Whether this worker is alive; if so its row stays for the length of the transaction."""
    return session.execute(HOLD_LEASE, {"worker": worker_id}).first() is not None


def pick(
    session: Session, model: str, worker_id: UUID, numerics: str | None, k: int, seen: Sequence[UUID]
) -> list[Any]:
    """Move the k fairest runnable jobs to this worker, from lanes not seen before.

    Returns rows, one for each claimed job (`id` set) in the order of their turn, and one for each lane that got
    none (`id` null);
    `backlogged` tells the lanes that had no runnable job from those whose jobs must wait.
    """
    parameters = {"model": model, "worker": worker_id, "numerics": numerics, "k": k, "seen": list(seen)}
    return list(session.execute(PICK, parameters).all())


def advance(session: Session, model: str, settled: float) -> None:
    session.execute(ADVANCE, {"model": model, "settled": settled})


def clear(session: Session, model: str, tenants: Sequence[UUID]) -> None:
    """Take `ready` from those lanes that are empty indeed. Never waits for a lock."""
    if not tenants:
        return
    locked = list(session.scalars(LOCK_EMPTY, {"model": model, "tenants": list(tenants)}))
    if locked:
        session.execute(CLEAR, {"model": model, "tenants": locked})
