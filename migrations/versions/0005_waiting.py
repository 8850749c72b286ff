"""What a scheduler measures so that waiting can be explained, and an index of jobs that lost a worker."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

GRANTS = """
GRANT SELECT ON forecasts, lane_forecasts TO quire_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON forecasts, lane_forecasts, guesses TO quire_service;
"""
WALL = """
ALTER TABLE lane_forecasts ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON lane_forecasts TO quire_api
    USING (tenant_id = nullif(current_setting('quire.tenant', true), '')::uuid);
CREATE POLICY service ON lane_forecasts TO quire_service USING (true);
"""
# How many slots are taken, which is no tenant's secret, though whose jobs they run is.
RUNNING_JOBS = """
CREATE FUNCTION running_jobs(wanted text) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT count(*) FROM workers JOIN jobs ON jobs.worker_id = workers.id AND jobs.state = 'running'
    WHERE workers.model = wanted AND lease_until > clock_timestamp() AND NOT draining
$$;
REVOKE ALL ON FUNCTION running_jobs(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION running_jobs(text) TO quire_api, quire_service;
"""
# Rewritten every second.
VACUUM = """
ALTER TABLE forecasts SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
ALTER TABLE lane_forecasts SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
"""


def number(name: str, default: str = "0") -> sa.Column[float]:
    return sa.Column(name, sa.Double(), server_default=default, nullable=False)


def numbers(name: str) -> sa.Column[list[float]]:
    return sa.Column(name, postgresql.ARRAY(sa.Double()), server_default="{}", nullable=False)


def upgrade() -> None:
    op.create_table(
        "forecasts",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column(
            "due_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("measured_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("slots", sa.Integer(), server_default="0", nullable=False),
        sa.Column("running", sa.Integer(), server_default="0", nullable=False),
        number("unfinished"),
        number("utilisation", "1"),
        sa.Column("idle_since", sa.DateTime(timezone=True), nullable=True),
        numbers("tags"),
        numbers("works"),
        sa.Column("done_until", sa.DateTime(timezone=True), nullable=True),
        number("done_jobs"),
        number("done_work"),
        number("done_square"),
        number("done_estimate"),
        number("done_seconds"),
        numbers("stretch_p50"),
        numbers("stretch_p90"),
        sa.ForeignKeyConstraint(["model"], ["models.name"], name="forecasts_model_fkey", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("model", name="forecasts_pkey"),
    )
    op.create_table(
        "lane_forecasts",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("jobs", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("work", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("first_seq", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("last_seq", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("counted_at", sa.DateTime(timezone=True), nullable=True),
        number("done_work"),
        number("done_estimate"),
        sa.ForeignKeyConstraint(
            ["model", "tenant_id"],
            ["lanes.model", "lanes.tenant_id"],
            name="lane_forecasts_model_tenant_id_fkey",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("model", "tenant_id", name="lane_forecasts_pkey"),
    )
    op.create_table(
        "guesses",
        sa.Column("job_id", sa.UUID(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("p50", sa.DateTime(timezone=True), nullable=False),
        sa.Column("p90", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["model"], ["models.name"], name="guesses_model_fkey", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", name="guesses_pkey"),
    )
    op.create_index("guesses_model_idx", "guesses", ["model"], unique=False)
    # Small, and written only when a worker dies under a job. Building it locks the table for as long as reading it
    # takes.
    op.create_index(
        "jobs_troubled",
        "jobs",
        ["id"],
        unique=False,
        postgresql_where=sa.text("state IN ('queued', 'running') AND attempts > 0"),
    )
    op.execute(GRANTS)
    op.execute(WALL)
    op.execute(RUNNING_JOBS)
    op.execute(VACUUM)
