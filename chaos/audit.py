"""What the run's own database writes down of every step of a job, by triggers unknown to the product.

Each worker has a login of its own, so that what it writes carries its name, whatever fence it claims to hold.
"""

import secrets

import psycopg
from psycopg import sql
from sqlalchemy.engine import make_url

PREFIX = "chaos_"

TABLES = """
CREATE SCHEMA chaos;
CREATE TABLE chaos.steps (
    seq bigint GENERATED ALWAYS AS IDENTITY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    job_id uuid NOT NULL, login text NOT NULL, worker_id uuid,
    old_state text, new_state text NOT NULL, old_fence bigint, new_fence bigint NOT NULL,
    attempts int NOT NULL,
    logged int NOT NULL  -- tokens in its text log, at a claim that is not its first
);
CREATE INDEX ON chaos.steps (job_id);
CREATE TABLE chaos.writes (
    seq bigint GENERATED ALWAYS AS IDENTITY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    job_id uuid NOT NULL, login text NOT NULL,
    "offset" int NOT NULL, tokens int NOT NULL, state text NOT NULL, fence bigint NOT NULL
);

CREATE FUNCTION chaos.note_step() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    written int := 0;
    before jobs;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        before := OLD;
        IF NEW.state = 'running' AND OLD.fence > 0 THEN
            SELECT coalesce(sum(tokens), 0) INTO written FROM chunks WHERE job_id = NEW.id;
        END IF;
    END IF;
    INSERT INTO chaos.steps
        (job_id, login, worker_id, old_state, new_state, old_fence, new_fence, attempts, logged)
    VALUES (NEW.id, session_user, coalesce(NEW.worker_id, before.worker_id), before.state, NEW.state,
        before.fence, NEW.fence, NEW.attempts, written);
    RETURN NULL;
END $$;
CREATE FUNCTION chaos.note_write() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO chaos.writes (job_id, login, "offset", tokens, state, fence)
    SELECT NEW.job_id, session_user, NEW."offset", NEW.tokens, state, fence FROM jobs WHERE id = NEW.job_id;
    RETURN NULL;
END $$;
CREATE TRIGGER chaos_made AFTER INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION chaos.note_step();
-- A second end of a job that has ended changes finished_at, if nothing else.
CREATE TRIGGER chaos_moved AFTER UPDATE ON jobs FOR EACH ROW
    WHEN (OLD.state <> NEW.state OR OLD.fence <> NEW.fence OR OLD.finished_at IS DISTINCT FROM NEW.finished_at)
    EXECUTE FUNCTION chaos.note_step();
CREATE TRIGGER chaos_written AFTER INSERT ON chunks FOR EACH ROW EXECUTE FUNCTION chaos.note_write();
"""


def install(url: str) -> None:
    """Begin to write down, in a migrated database."""
    with psycopg.connect(url) as connection:
        connection.execute(TABLES)


def add_login(url: str, name: str) -> str:
    """Make a login for one worker; returns the URL with it."""
    login, password = f"{PREFIX}{name.replace('-', '_')}", secrets.token_hex(16)
    statement = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} IN ROLE quire_service").format(
        sql.Identifier(login), sql.Literal(password)
    )
    with psycopg.connect(url) as connection:
        connection.execute(statement)
    return make_url(url).set(username=login, password=password).render_as_string(hide_password=False)
