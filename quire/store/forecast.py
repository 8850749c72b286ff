"""What a scheduler measures so that a waiting job can be explained: how models are served, what waits in lanes.

Nothing else depends on these tables: emptied, they are filled again within seconds. They are apart from `models`
and `lanes` because those rows are the claims', and a measurement must never wait for a claim or hold one up.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Double, ForeignKey, ForeignKeyConstraint, func, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, Session, mapped_column

from quire.calibration import Stretches
from quire.eta import Curve, Done
from quire.store.base import Base, Big, Created, Identifier, Moment, Small


class Forecast(Base):
    """How a model is served. One scheduler at a time holds the row and measures."""

    __tablename__ = "forecasts"

    model: Mapped[str] = mapped_column(ForeignKey("models.name", ondelete="CASCADE"), primary_key=True)
    due_at: Mapped[Created]  # when to measure again
    measured_at: Mapped[datetime | None]
    slots: Mapped[int] = mapped_column(server_default="0")  # of live workers
    running: Mapped[int] = mapped_column(server_default="0")
    unfinished: Mapped[float] = mapped_column(server_default="0")  # work that running jobs have still to do
    utilisation: Mapped[float] = mapped_column(server_default="1")  # of the slots, while many jobs wait
    idle_since: Mapped[datetime | None]  # slots are free and jobs wait, and none has started since
    tags: Mapped[list[float]] = mapped_column(ARRAY(Double), server_default="{}")  # the curve of quire/eta.py
    works: Mapped[list[float]] = mapped_column(ARRAY(Double), server_default="{}")
    done_until: Mapped[datetime | None]  # what finished by then is in the sums
    done_jobs: Mapped[float] = mapped_column(server_default="0")
    done_work: Mapped[float] = mapped_column(server_default="0")
    done_square: Mapped[float] = mapped_column(server_default="0")
    done_estimate: Mapped[float] = mapped_column(server_default="0")
    done_seconds: Mapped[float] = mapped_column(server_default="0")
    stretch_p50: Mapped[list[float]] = mapped_column(ARRAY(Double), server_default="{}")  # quire/calibration.py
    stretch_p90: Mapped[list[float]] = mapped_column(ARRAY(Double), server_default="{}")

    @property
    def done(self) -> Done:
        return Done(self.done_jobs, self.done_work, self.done_square, self.done_estimate, self.done_seconds)

    @done.setter
    def done(self, sums: Done) -> None:
        self.done_jobs, self.done_work, self.done_square = sums.jobs, sums.work, sums.square
        self.done_estimate, self.done_seconds = sums.estimate, sums.seconds

    @property
    def curve(self) -> Curve:
        return Curve(self.tags, self.works)

    @curve.setter
    def curve(self, drawn: Curve) -> None:
        self.tags, self.works = list(drawn.tags), list(drawn.works)

    @property
    def stretches(self) -> Stretches:
        return Stretches(self.stretch_p50, self.stretch_p90) if self.stretch_p50 else Stretches()

    @stretches.setter
    def stretches(self, learned: Stretches) -> None:
        self.stretch_p50, self.stretch_p90 = list(learned.p50), list(learned.p90)


class LaneForecast(Base):
    """What waits in a lane, as last counted, and how its jobs turn out."""

    __tablename__ = "lane_forecasts"
    __table_args__ = (
        ForeignKeyConstraint(["model", "tenant_id"], ["lanes.model", "lanes.tenant_id"], ondelete="CASCADE"),
    )

    model: Mapped[str] = mapped_column(primary_key=True)
    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    jobs: Mapped[Big] = mapped_column(server_default="0")  # runnable
    work: Mapped[Big] = mapped_column(server_default="0")  # by their estimates
    first_seq: Mapped[Big] = mapped_column(server_default="0")  # of the oldest, and of the last in order
    last_seq: Mapped[Big] = mapped_column(server_default="0")
    counted_at: Mapped[datetime | None]
    done_work: Mapped[float] = mapped_column(server_default="0")  # of finished jobs, the latest weighing most
    done_estimate: Mapped[float] = mapped_column(server_default="0")


class Guess(Base):
    """A start that was predicted, and is to be compared with what comes."""

    __tablename__ = "guesses"

    job_id: Mapped[Identifier]  # no foreign key: a job that is gone is found missing
    model: Mapped[str] = mapped_column(ForeignKey("models.name", ondelete="CASCADE"), index=True)
    kind: Mapped[Small]
    p50: Mapped[Moment]
    p90: Mapped[Moment]


ENTER = text("INSERT INTO forecasts (model) SELECT name FROM models ON CONFLICT DO NOTHING")

# Finished jobs say how much work a slot does a second, and how estimates turn out. They are there anyway, found
# by an index; a counter that every settlement adds to would be one row that all workers wait for. Read are those
# that ran in one go. The newest come first, so that a bound on their number leaves the sums unbiased.
DONE = text("""
    SELECT tenant_id, count(*) AS jobs, sum(work) AS work, sum(work * work) AS square, sum(estimate) AS estimate,
        sum(seconds) AS seconds, max(started_at) AS last_start
    FROM (
        SELECT tenant_id, estimate, started_at,
            CAST(prompt_tokens + completion_tokens AS float8) AS work,
            CAST(extract(epoch FROM finished_at - started_at) AS float8) AS seconds
        FROM jobs WHERE finished_at > :since AND finished_at <= :until
            AND model = :model AND state = 'succeeded' AND fence = 1
        ORDER BY finished_at DESC LIMIT :most) AS finished
    GROUP BY tenant_id ORDER BY tenant_id
""")
RUNNING = text("""
    SELECT coalesce(sum(workers.slots), 0) AS slots, coalesce(sum(busy.jobs), 0) AS running,
        coalesce(sum(busy.unfinished), 0) AS unfinished, max(busy.last_start) AS last_start
    FROM workers CROSS JOIN LATERAL (
        SELECT count(*) AS jobs, max(started_at) AS last_start, sum(greatest(0, :ratio * charged
            - :speed * CAST(extract(epoch FROM clock_timestamp() - started_at) AS float8))) AS unfinished
        FROM jobs WHERE jobs.worker_id = workers.id AND jobs.state = 'running') AS busy
    WHERE workers.model = :model AND lease_until > clock_timestamp() AND NOT draining
""")

# The more jobs a lane has, the longer its count is good for, because it changes by a smaller part.
STALE = text("""
    SELECT lanes.tenant_id, coalesce(jobs, 0) AS jobs
    FROM lanes LEFT JOIN lane_forecasts USING (model, tenant_id)
    WHERE lanes.model = :model AND ready AND (counted_at IS NULL
        OR counted_at < clock_timestamp()
            - make_interval(secs => :seconds + jobs / CAST(:jobs_a_second AS float8)))
    ORDER BY counted_at NULLS FIRST LIMIT :most
""")
COUNT = text("""
    SELECT wanted.tenant_id, wanted.most, head.*, tail.last_seq
    FROM unnest(CAST(:tenants AS uuid[]), CAST(:mosts AS int[])) AS wanted (tenant_id, most)
    CROSS JOIN LATERAL (
        SELECT count(*) AS jobs, coalesce(sum(estimate), 0) AS work,
            coalesce(min(seq), 0) AS first_seq, coalesce(max(seq), 0) AS reached_seq
        FROM (
            SELECT estimate, seq FROM jobs
            WHERE model = :model AND jobs.tenant_id = wanted.tenant_id AND state = 'queued' AND hold = 0
            ORDER BY priority DESC, seq LIMIT wanted.most) AS first_jobs) AS head
    LEFT JOIN LATERAL (
        SELECT seq AS last_seq FROM jobs
        WHERE model = :model AND jobs.tenant_id = wanted.tenant_id AND state = 'queued' AND hold = 0
        ORDER BY priority, seq DESC LIMIT 1) AS tail ON true
    ORDER BY wanted.tenant_id
""")
KEEP_COUNTS = text("""
    INSERT INTO lane_forecasts (model, tenant_id, jobs, work, first_seq, last_seq, counted_at)
    SELECT :model, tenant_id, jobs, work, first_seq, last_seq, clock_timestamp()
    FROM unnest(CAST(:tenants AS uuid[]), CAST(:jobs AS bigint[]), CAST(:works AS bigint[]),
        CAST(:first_seqs AS bigint[]), CAST(:last_seqs AS bigint[]))
        AS counted (tenant_id, jobs, work, first_seq, last_seq)
    ON CONFLICT (model, tenant_id) DO UPDATE SET jobs = excluded.jobs, work = excluded.work,
        first_seq = excluded.first_seq, last_seq = excluded.last_seq, counted_at = excluded.counted_at
""")
EMPTIED = text("""
    UPDATE lane_forecasts SET jobs = 0, work = 0, counted_at = NULL FROM lanes
    WHERE lane_forecasts.model = :model AND lane_forecasts.counted_at IS NOT NULL
        AND lanes.model = lane_forecasts.model AND lanes.tenant_id = lane_forecasts.tenant_id AND NOT lanes.ready
""")
KEEP_DONE = text("""
    INSERT INTO lane_forecasts (model, tenant_id, done_work, done_estimate)
    SELECT :model, tenant_id, work, estimate
    FROM unnest(CAST(:tenants AS uuid[]), CAST(:works AS float8[]), CAST(:estimates AS float8[]))
        AS done (tenant_id, work, estimate)
    ON CONFLICT (model, tenant_id) DO UPDATE SET
        done_work = lane_forecasts.done_work * :keep + excluded.done_work,
        done_estimate = lane_forecasts.done_estimate * :keep + excluded.done_estimate
""")
READY = text("""
    SELECT virtual_time, outstanding, running, weight, max_running, coalesce(jobs, 0) AS jobs,
        coalesce(work, 0) AS work, coalesce(done_work, 0) AS done_work, coalesce(done_estimate, 0) AS done_estimate
    FROM lanes JOIN tenants ON tenants.id = lanes.tenant_id LEFT JOIN lane_forecasts USING (model, tenant_id)
    WHERE lanes.model = :model AND ready AND NOT paused AND suspended_at IS NULL
""")

# Every tenant is drawn alike, and half the time its last job, which is where a job stands when it is submitted;
# otherwise any of its first.
DRAW = text("""
    SELECT drawn_job.id FROM (
        SELECT tenant_id, jobs FROM lane_forecasts WHERE model = :model AND jobs > 0
        ORDER BY random() LIMIT :lanes) AS drawn
    CROSS JOIN LATERAL (
        SELECT id FROM jobs
        WHERE model = :model AND jobs.tenant_id = drawn.tenant_id AND state = 'queued' AND hold = 0
        ORDER BY priority DESC, seq
        OFFSET CAST(floor(least(random() * 2, 1) * (least(drawn.jobs, :deep) - 1)) AS bigint) LIMIT 1) AS drawn_job
""")
OUTCOMES = text("""
    SELECT guesses.job_id, guesses.kind, p50, p90, jobs.started_at,
        coalesce(jobs.state = 'queued' AND jobs.hold = 0, false) AS waits, p90 < clock_timestamp() AS late
    FROM guesses LEFT JOIN jobs ON jobs.id = guesses.job_id WHERE guesses.model = :model
""")
FORGET = text("DELETE FROM guesses WHERE job_id = ANY (CAST(:jobs AS uuid[]))")


def take_due(session: Session) -> Sequence[Forecast]:
    """Lock the forecasts of all models that are due, and that no other scheduler is at."""
    session.execute(ENTER)
    due = select(Forecast).where(Forecast.due_at <= func.clock_timestamp()).order_by(Forecast.model)
    return session.scalars(due.with_for_update(skip_locked=True)).all()


def keep_counts(session: Session, model: str, counts: Sequence[Any]) -> None:
    """Keep what was counted: (tenant, jobs, work, first seq, last seq) for each lane, in the order of tenants."""
    if counts:
        names = ("tenants", "jobs", "works", "first_seqs", "last_seqs")
        columns = {name: list(values) for name, values in zip(names, zip(*counts, strict=True), strict=True)}
        session.execute(KEEP_COUNTS, {"model": model} | columns)


def keep_done(session: Session, model: str, done: Sequence[Any], keep: float) -> None:
    """Add to what is known of each lane's finished jobs, of which `keep` remains."""
    if done:
        columns: dict[str, list[Any]] = {
            "tenants": [row.tenant_id for row in done],
            "works": [row.work for row in done],
            "estimates": [float(row.estimate) for row in done],
        }
        session.execute(KEEP_DONE, {"model": model, "keep": keep} | columns)
