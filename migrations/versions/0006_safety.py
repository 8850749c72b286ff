"""Safety: tenants that are suspended or deleted, the receipts of those deleted, and how long jobs are kept."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# Code of an older version goes on finding its columns by their names.
FIND_API_KEY = """
DROP FUNCTION find_api_key(text);
CREATE FUNCTION find_api_key(wanted text)
RETURNS TABLE (id uuid, tenant_id uuid, secret_hash bytea, scopes text[], revoked_at timestamptz,
    max_requests_per_minute integer, suspended_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT api_keys.id, tenant_id, secret_hash, scopes, revoked_at, max_requests_per_minute, suspended_at
    FROM api_keys JOIN tenants ON tenants.id = tenant_id WHERE prefix = wanted
$$;
REVOKE ALL ON FUNCTION find_api_key(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION find_api_key(text) TO quire_api;
"""

MINE = "nullif(current_setting('quire.tenant', true), '')::uuid"
RECEIPTS = f"""
GRANT SELECT, INSERT, UPDATE, DELETE ON tenant_receipts TO quire_service;
ALTER TABLE tenant_receipts ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON tenant_receipts TO quire_api USING (tenant_id = {MINE});
CREATE POLICY service ON tenant_receipts TO quire_service USING (true);
"""


def upgrade() -> None:
    op.add_column("tenants", sa.Column("suspended_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("tenants", sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("tenants", sa.Column("retention_days", sa.Integer(), nullable=True))
    op.create_check_constraint(op.f("tenants_retention_days_check"), "tenants", "retention_days > 0")
    op.create_check_constraint(
        op.f("tenants_deleted_is_suspended_check"), "tenants", "deleted_at IS NULL OR suspended_at IS NOT NULL"
    )
    op.create_index("tenants_suspended", "tenants", ["id"], postgresql_where=sa.text("suspended_at IS NOT NULL"))
    op.create_table(
        "tenant_receipts",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("key_fingerprint", sa.Text(), nullable=True),
        sa.Column("keys", sa.Integer(), nullable=False),
        sa.Column("jobs", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("chunks", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("tenant_id", name="tenant_receipts_pkey"),
    )
    op.create_index(
        "tenant_receipts_open",
        "tenant_receipts",
        ["created_at"],
        postgresql_where=sa.text("completed_at IS NULL"),
    )
    op.add_column("jobs", sa.Column("retention_hours", sa.Integer(), nullable=True))
    # Each tenant may have its own retention, so the jobs that are to go are the oldest of each.
    op.create_index(
        "jobs_finished_of_tenant",
        "jobs",
        ["tenant_id", "finished_at"],
        postgresql_where=sa.text("finished_at IS NOT NULL"),
    )
    op.create_index(
        "jobs_forget_at",
        "jobs",
        [sa.literal_column("((finished_at AT TIME ZONE 'UTC'::text) + make_interval(hours => retention_hours))")],
        postgresql_where=sa.text("finished_at IS NOT NULL AND retention_hours IS NOT NULL"),
    )
    op.execute(FIND_API_KEY)
    op.execute(RECEIPTS)
