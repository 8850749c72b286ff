"""Music: jobs of another kind, models that say which kind is theirs, and the files that a job has made."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# Wider than before, so what is there is right. Not checked under the lock that keeps writers out.
KINDS = """
ALTER TABLE jobs DROP CONSTRAINT jobs_kind_check,
    ADD CONSTRAINT jobs_kind_check CHECK (kind IN ('text', 'music')) NOT VALID
"""
VALIDATE = "ALTER TABLE jobs VALIDATE CONSTRAINT jobs_kind_check"

MINE = "nullif(current_setting('quire.tenant', true), '')::uuid"
# Sealed bytes cannot be compressed.
PLAIN = "ALTER TABLE artifact_parts ALTER COLUMN body SET STORAGE EXTERNAL"


def upgrade() -> None:
    op.execute(KINDS)
    op.execute(VALIDATE)
    op.add_column("models", sa.Column("kind", sa.Text(), server_default="text", nullable=False))
    op.add_column("models", sa.Column("renders", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False))
    op.add_column("tenant_receipts", sa.Column("artifacts", sa.BigInteger(), server_default="0", nullable=False))
    op.create_table(
        "artifacts",
        sa.Column("job_id", sa.UUID(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("piece", sa.Integer(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=True),
        sa.Column("unavailable", sa.Text(), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="artifacts_job_id_fkey", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "name", name="artifacts_pkey"),
    )
    op.create_table(
        "artifact_parts",
        sa.Column("job_id", sa.UUID(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("part", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id", "name"],
            ["artifacts.job_id", "artifacts.name"],
            name="artifact_parts_job_id_fkey",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("job_id", "name", "part", name="artifact_parts_pkey"),
    )
    op.execute(PLAIN)
    for table in ("artifacts", "artifact_parts"):
        op.execute(f"GRANT SELECT ON {table} TO quire_api")
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO quire_service")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY tenant ON {table} TO quire_api USING (tenant_id = {MINE})")
        op.execute(f"CREATE POLICY service ON {table} TO quire_service USING (true)")
