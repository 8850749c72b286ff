"""Files that tenants upload, in sealed parts."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

MINE = "nullif(current_setting('quire.tenant', true), '')::uuid"
# Sealed bytes cannot be compressed.
PLAIN = "ALTER TABLE file_parts ALTER COLUMN body SET STORAGE EXTERNAL"


def upgrade() -> None:
    op.create_table(
        "files",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("complete", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="files_tenant_id_fkey"),
        sa.PrimaryKeyConstraint("id", name="files_pkey"),
    )
    op.create_index("files_of_tenant", "files", ["tenant_id", "id"])
    op.create_index("files_expiring", "files", ["expires_at"], postgresql_where=sa.text("expires_at IS NOT NULL"))
    op.create_index("files_receiving", "files", ["created_at"], postgresql_where=sa.text("NOT complete"))
    op.create_table(
        "file_parts",
        sa.Column("file_id", sa.UUID(), nullable=False),
        sa.Column("part", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["file_id"], ["files.id"], name="file_parts_file_id_fkey", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("file_id", "part", name="file_parts_pkey"),
    )
    op.execute(PLAIN)
    for table in ("files", "file_parts"):
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO quire_api, quire_service")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY tenant ON {table} TO quire_api USING (tenant_id = {MINE})")
        op.execute(f"CREATE POLICY service ON {table} TO quire_service USING (true)")
