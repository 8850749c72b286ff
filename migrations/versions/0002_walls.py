"""The walls between tenants: two roles, row-level security, and the two functions that pass it on purpose."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# Roles belong to the whole server, so another database's migration may have made them, even at this moment.
# Since Postgres 16 a login that makes a role without being superuser may grant it, but not yet set it.
ROLES = """
DO $$
DECLARE
    role text;
    needed text := CASE WHEN current_setting('server_version_num')::int < 160000 THEN 'MEMBER' ELSE 'SET' END;
BEGIN
    FOREACH role IN ARRAY ARRAY['quire_api', 'quire_service'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', role);
        EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
        END;
        IF NOT pg_has_role(current_user, role, needed) THEN
            EXECUTE format('GRANT %I TO current_user', role);
        END IF;
    END LOOP;
END $$
"""

TENANT_TABLES = ("api_keys", "chunks", "idempotency_keys", "jobs", "lanes", "ledger")
MINE = "nullif(current_setting('quire.tenant', true), '')::uuid"

API_GRANTS = """
GRANT SELECT ON tenants, models, workers, alembic_version TO quire_api;
GRANT SELECT, INSERT ON idempotency_keys TO quire_api;
GRANT SELECT, INSERT, UPDATE ON lanes, ledger TO quire_api;
GRANT SELECT, INSERT, UPDATE, DELETE ON jobs TO quire_api;
GRANT SELECT, DELETE ON chunks TO quire_api;
"""
SERVICE_GRANTS = """
GRANT SELECT, INSERT, UPDATE, DELETE
    ON tenants, api_keys, chunks, idempotency_keys, jobs, lanes, ledger, models, workers TO quire_service;
GRANT SELECT ON alembic_version TO quire_service;
"""

FIND_API_KEY = """
CREATE FUNCTION find_api_key(wanted text)
RETURNS TABLE (id uuid, tenant_id uuid, secret_hash bytea, scopes text[], revoked_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT id, tenant_id, secret_hash, scopes, revoked_at FROM api_keys WHERE prefix = wanted
$$;
REVOKE ALL ON FUNCTION find_api_key(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION find_api_key(text) TO quire_api;
"""

# Attached, not created in place: that lets claims and flushes go on meanwhile.
MAKE_PARTITION = """
CREATE FUNCTION make_chunks_partition(name text, lower_bound uuid, upper_bound uuid) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF name !~ '^chunks_[0-9]{8}$' THEN
        RAISE EXCEPTION 'not the name of a partition: %', name;
    END IF;
    PERFORM pg_advisory_xact_lock(43, 0);
    IF to_regclass(name) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE chunks INCLUDING ALL)', name);
    -- What came before its partition lies in the default one, which would refuse the new bounds.
    EXECUTE format('WITH early AS (DELETE FROM chunks_default WHERE job_id >= %L AND job_id < %L RETURNING *)
        INSERT INTO %I SELECT * FROM early', lower_bound, upper_bound, name);
    EXECUTE format('ALTER TABLE chunks ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
        name, lower_bound, upper_bound);
    RETURN true;
END $$;
REVOKE ALL ON FUNCTION make_chunks_partition(text, uuid, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION make_chunks_partition(text, uuid, uuid) TO quire_service;
"""

# Rows of these change many times a second: vacuum by small steps, or claims slow down with the dead ones.
VACUUM = """
ALTER TABLE jobs SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
ALTER TABLE lanes SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
ALTER TABLE workers SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
"""


def upgrade() -> None:
    op.execute(ROLES)
    op.execute(API_GRANTS)
    op.execute(SERVICE_GRANTS)
    for table in (*TENANT_TABLES, "tenants"):
        column = "id" if table == "tenants" else "tenant_id"
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY tenant ON {table} TO quire_api USING ({column} = {MINE})")
        op.execute(f"CREATE POLICY service ON {table} TO quire_service USING (true)")
    op.execute(FIND_API_KEY)
    op.execute(MAKE_PARTITION)
    op.execute(VACUUM)
    # What no weekly partition was made for in time is caught here.
    op.execute("CREATE TABLE chunks_default PARTITION OF chunks DEFAULT")
