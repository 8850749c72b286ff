"""Limits that an operator may set for each tenant, and the accounts by day that they are checked against."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TODAY = "(clock_timestamp() AT TIME ZONE 'UTC')::date"

# What was submitted before is taken into the accounts at once.
OPEN_ACCOUNTS = """
UPDATE ledger SET day = (created_at AT TIME ZONE 'UTC')::date, folded = settled_at IS NOT NULL;
INSERT INTO usage (tenant_id, day, model, reserved, jobs, prompt_tokens, completion_tokens)
SELECT tenant_id, day, model, coalesce(sum(reserved) FILTER (WHERE NOT folded), 0),
    count(*) FILTER (WHERE folded), coalesce(sum(prompt_tokens), 0), coalesce(sum(completion_tokens), 0)
FROM ledger GROUP BY tenant_id, day, model;
"""
# Written at each submission: room on each page keeps its updates there.
WALLS = """
ALTER TABLE usage ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON usage TO quire_api
    USING (tenant_id = nullif(current_setting('quire.tenant', true), '')::uuid);
CREATE POLICY service ON usage TO quire_service USING (true);
GRANT SELECT, INSERT, UPDATE ON usage TO quire_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON usage TO quire_service;
ALTER TABLE usage SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
"""
FIND_API_KEY = """
DROP FUNCTION find_api_key(text);
CREATE FUNCTION find_api_key(wanted text)
RETURNS TABLE (
    id uuid, tenant_id uuid, secret_hash bytea, scopes text[], revoked_at timestamptz,
    max_requests_per_minute integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT api_keys.id, tenant_id, secret_hash, scopes, revoked_at, max_requests_per_minute
    FROM api_keys JOIN tenants ON tenants.id = tenant_id WHERE prefix = wanted
$$;
REVOKE ALL ON FUNCTION find_api_key(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION find_api_key(text) TO quire_api;
"""


def upgrade() -> None:
    op.add_column("tenants", sa.Column("paused", sa.Boolean(), server_default="false", nullable=False))
    op.add_column("tenants", sa.Column("max_tokens_per_day", sa.BigInteger(), nullable=True))
    op.add_column("tenants", sa.Column("max_requests_per_minute", sa.Integer(), nullable=True))
    for limit in ("max_tokens_per_day", "max_requests_per_minute"):
        op.create_check_constraint(op.f(f"tenants_{limit}_check"), "tenants", f"{limit} > 0")
    op.add_column("ledger", sa.Column("day", sa.Date(), server_default=sa.text(TODAY), nullable=False))
    op.add_column("ledger", sa.Column("folded", sa.Boolean(), server_default="false", nullable=False))
    op.create_index(
        "ledger_unfolded",
        "ledger",
        ["job_id"],
        unique=False,
        postgresql_where=sa.text("settled_at IS NOT NULL AND NOT folded"),
    )
    op.create_table(
        "usage",
        sa.Column("tenant_id", sa.UUID(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("reserved", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("jobs", sa.Integer(), server_default="0", nullable=False),
        sa.Column("prompt_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("completion_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "day", "model", name="usage_pkey"),
        postgresql_with={"fillfactor": "50"},
    )
    op.execute(OPEN_ACCOUNTS)
    op.execute(WALLS)
    op.execute(FIND_API_KEY)
