"""What is known beside themselves of batches that were asked for in OpenAI's form."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

MINE = "nullif(current_setting('quire.tenant', true), '')::uuid"


def upgrade() -> None:
    op.create_table(
        "openai_batches",
        sa.Column("batch_id", sa.UUID(), nullable=False),
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("input_file_id", sa.UUID(), nullable=False),
        sa.Column("errors", postgresql.JSONB(), nullable=True),
        sa.ForeignKeyConstraint(
            ["batch_id"], ["batches.id"], name="openai_batches_batch_id_fkey", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("batch_id", name="openai_batches_pkey"),
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON openai_batches TO quire_api, quire_service")
    op.execute("ALTER TABLE openai_batches ENABLE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY tenant ON openai_batches TO quire_api USING (tenant_id = {MINE})")
    op.execute("CREATE POLICY service ON openai_batches TO quire_service USING (true)")
