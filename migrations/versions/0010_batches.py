"""Batches: items that wait outside the queue and are fed into it, and which jobs are of a batch."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

MINE = "nullif(current_setting('quire.tenant', true), '')::uuid"
STATES = "'receiving', 'running', 'completed', 'cancelled', 'expired', 'exhausted'"
# Sealed bytes cannot be compressed.
PLAIN = "ALTER TABLE batch_items ALTER COLUMN body SET STORAGE EXTERNAL"
# Rewritten several times a second while a batch runs.
VACUUM = "ALTER TABLE batches SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000)"


def count(name: str, kind: sa.types.TypeEngine[int] | None = None) -> sa.Column[int]:
    return sa.Column(name, kind or sa.Integer(), server_default="0", nullable=False)


def moment(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=True)


def upgrade() -> None:
    op.add_column("jobs", sa.Column("batch_id", sa.UUID(), nullable=True))
    op.add_column("jobs", sa.Column("collected", sa.Boolean(), server_default="false", nullable=False))
    # None of these rows is there yet. Building them locks the table for as long as reading it takes.
    op.create_index(
        "jobs_of_batch", "jobs", ["batch_id"], postgresql_where=sa.text("batch_id IS NOT NULL AND NOT collected")
    )
    op.create_index(
        "jobs_uncollected",
        "jobs",
        ["finished_at"],
        postgresql_where=sa.text("batch_id IS NOT NULL AND finished_at IS NOT NULL AND NOT collected"),
    )
    op.create_table(
        "batches",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("state", sa.String(length=16), server_default="receiving", nullable=False),
        sa.Column("parent_id", sa.UUID(), nullable=True),
        sa.Column("first_job", sa.UUID(), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False),
        sa.Column("max_running", sa.Integer(), nullable=True),
        sa.Column("max_tokens", sa.BigInteger(), nullable=True),
        moment("deadline"),
        sa.Column("retention_hours", sa.Integer(), nullable=True),
        sa.Column("metadata", postgresql.JSONB(), server_default="{}", nullable=False),
        sa.Column("blocked_by", sa.Text(), nullable=True),
        *(count(name) for name in ("total", "held", "next_number", "placed")),
        *(count(name) for name in ("succeeded", "failed", "cancelled", "expired")),
        *(count(name, sa.BigInteger()) for name in ("prompt_tokens", "completion_tokens", "reserved")),
        moment("feed_at"),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        moment("finished_at"),
        sa.CheckConstraint(f"state IN ({STATES})", name="batches_state_check"),
        sa.CheckConstraint("max_running > 0", name="batches_max_running_check"),
        sa.CheckConstraint("max_tokens > 0", name="batches_max_tokens_check"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="batches_tenant_id_fkey"),
        sa.PrimaryKeyConstraint("id", name="batches_pkey"),
        postgresql_with={"fillfactor": "50"},
    )
    running = "state = 'running' AND "
    op.create_index("batches_hungry", "batches", ["feed_at"], postgresql_where=sa.text(running + "held > 0"))
    op.create_index(
        "batches_deadline", "batches", ["deadline"], postgresql_where=sa.text(running + "deadline IS NOT NULL")
    )
    op.create_index(
        "batches_receiving", "batches", ["created_at"], postgresql_where=sa.text("state = 'receiving'")
    )
    op.create_index(
        "batches_finished",
        "batches",
        ["tenant_id", "finished_at"],
        postgresql_where=sa.text("finished_at IS NOT NULL"),
    )
    op.create_index("batches_of_tenant", "batches", ["tenant_id", "id"])
    op.create_index(
        "batches_open", "batches", ["tenant_id"], postgresql_where=sa.text("state IN ('receiving', 'running')")
    )
    op.create_table(
        "batch_items",
        sa.Column("batch_id", sa.UUID(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("custom_id", sa.Text(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=True),
        sa.Column("seed", sa.BigInteger(), nullable=True),
        sa.Column("prompt_tokens", sa.Integer(), nullable=True),
        sa.Column("max_tokens", sa.Integer(), nullable=True),
        sa.Column("estimate", sa.Integer(), nullable=True),
        sa.Column("metadata", postgresql.JSONB(), server_default="{}", nullable=False),
        sa.Column("error", postgresql.JSONB(), nullable=True),
        sa.Column("place", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name="batch_items_batch_id_fkey"),
        sa.PrimaryKeyConstraint("batch_id", "number", name="batch_items_pkey"),
        postgresql_with={"fillfactor": "85"},
    )
    op.create_index(
        "batch_items_placed", "batch_items", ["batch_id", "place"], postgresql_where=sa.text("place IS NOT NULL")
    )
    op.execute(PLAIN)
    op.execute(VACUUM)
    for table in ("batches", "batch_items"):
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO quire_api, quire_service")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY tenant ON {table} TO quire_api USING (tenant_id = {MINE})")
        op.execute(f"CREATE POLICY service ON {table} TO quire_service USING (true)")
