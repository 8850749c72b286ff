"""Checks of Postgres: its version, its connections, its roles, its tables, its time-outs, its clock."""

import time
from collections.abc import Iterator

from alembic.script import ScriptDirectory
from sqlalchemy import text

from quire.database import API_CONNECTIONS, SCHEDULER_CONNECTIONS, WORKER_CONNECTIONS
from quire.doctor.finding import Finding, Level, Patient
from quire.settings import REPOSITORY

OLDEST = 150_000  # Postgres 15
SPARE = 5  # for a migration, a backup, somebody who looks, this command
TIGHT = 0.8  # of the connections
CLOCK_WARN, CLOCK_FAIL = 1.0, 30.0  # seconds

CONNECTIONS = text("""
    SELECT CAST(current_setting('max_connections') AS int) AS most,
        CAST(current_setting('superuser_reserved_connections') AS int)
            + CAST(coalesce(current_setting('reserved_connections', true), '0') AS int) AS reserved,
        (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS used,
        (SELECT count(*) FROM workers WHERE lease_until > clock_timestamp()) AS workers
""")
ROLES = text("""
    SELECT rolname AS name, rolsuper AS super, rolbypassrls AS bypasses, rolcanlogin AS logs_in FROM pg_roles
    WHERE rolname IN ('quire_api', 'quire_service')
""")
LOGIN = text(
    "SELECT rolname AS name, rolsuper OR rolbypassrls AS passes FROM pg_roles WHERE rolname = session_user"
)
OPEN_TABLES = text("""
    SELECT relname FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
        AND attname = 'tenant_id' AND NOT attisdropped AND NOT relrowsecurity ORDER BY 1
""")
TIMEOUTS = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
SHOWN = text("SELECT current_setting(:name)")


def version(patient: Patient) -> Iterator[Finding]:
    with patient.database.service() as session:
        number = int(session.scalar(SHOWN, {"name": "server_version_num"}) or 0)
        name = session.scalar(SHOWN, {"name": "server_version"})
    if number < OLDEST:
        yield Finding(Level.FAIL, "postgres", f"version {name}", "Quire needs 15 or newer")
    else:
        yield Finding(Level.OK, "postgres", f"version {name}")


def migration(patient: Patient) -> Iterator[Finding]:
    head = ScriptDirectory(str(REPOSITORY / "migrations")).get_current_head()
    with patient.database.service() as session:
        found = session.scalar(text("SELECT version_num FROM alembic_version"))
    if found == head:
        yield Finding(Level.OK, "migration", f"at {found}, as this code")
    else:
        todo = "run `python -m alembic upgrade head`, or use the code that the database belongs to"
        yield Finding(Level.FAIL, "migration", f"the database is at {found}, this code at {head}", todo)


def connections(patient: Patient) -> Iterator[Finding]:
    """Add up what all processes may open, and compare it with what Postgres gives."""
    with patient.database.service() as session:
        found = session.execute(CONNECTIONS).one()
    workers = found.workers if patient.workers is None else patient.workers
    needed = (
        workers * WORKER_CONNECTIONS
        + patient.apis * API_CONNECTIONS
        + patient.schedulers * SCHEDULER_CONNECTIONS
        + SPARE
    )
    room = found.most - found.reserved
    told = (
        f"{needed} needed "
        f"({workers} workers, {patient.apis} APIs, {patient.schedulers} schedulers, {SPARE} spare), "
        f"{room} given, {found.used} open"
    )
    enough = f"raise max_connections to {needed + found.reserved} or more"
    if needed > room:
        yield Finding(Level.FAIL, "connections", told, enough)
    elif max(needed, found.used) > TIGHT * room:
        yield Finding(Level.WARN, "connections", told, f"little is left; {enough}")
    else:
        yield Finding(Level.OK, "connections", told)


def roles(patient: Patient) -> Iterator[Finding]:
    with patient.database.service() as session:
        found = session.execute(ROLES).all()
        login = session.execute(LOGIN).one()
    for role in found:
        wrong = [
            word
            for word, has in (("SUPERUSER", role.super), ("BYPASSRLS", role.bypasses), ("LOGIN", role.logs_in))
            if has
        ]
        if wrong:
            todo = f"ALTER ROLE {role.name} " + " ".join(f"NO{word}" for word in wrong)
            yield Finding(Level.FAIL, "roles", f"{role.name} has {', '.join(wrong)}", todo)
        else:
            yield Finding(Level.OK, "roles", f"{role.name} passes no wall")
    if login.passes:
        todo = "fine where nothing but Quire uses this Postgres; else give it a login of its own"
        yield Finding(Level.WARN, "roles", f"the login {login.name} of QUIRE_DATABASE_URL passes all walls", todo)


def walls(patient: Patient) -> Iterator[Finding]:
    with patient.database.service() as session:
        tables = session.scalars(OPEN_TABLES).all()
    if tables:
        todo = "somebody has changed the tables; compare with migrations/"
        yield Finding(Level.FAIL, "walls", f"no row-level security on {', '.join(tables)}", todo)
    else:
        yield Finding(Level.OK, "walls", "row-level security on all tables of tenants")


def timeouts(patient: Patient) -> Iterator[Finding]:
    with patient.database.service() as session:
        found = {name: str(session.scalar(SHOWN, {"name": name})) for name in TIMEOUTS}
    missing = [name for name, value in found.items() if value == "0"]
    if missing:
        todo = "something between here and Postgres, a pooler perhaps, drops the connection's options"
        yield Finding(Level.FAIL, "time-outs", f"not in force: {', '.join(missing)}", todo)
    else:
        yield Finding(Level.OK, "time-outs", ", ".join(f"{name} {value}" for name, value in found.items()))


def clock(patient: Patient) -> Iterator[Finding]:
    with patient.database.service() as session:
        before = time.time()
        theirs = float(session.scalar(text("SELECT CAST(extract(epoch FROM clock_timestamp()) AS float8)")) or 0.0)
        after = time.time()
    apart = theirs - (before + after) / 2
    told = f"Postgres' clock is {abs(apart):.3f} s {'ahead of' if apart > 0 else 'behind'} this machine's"
    if abs(apart) < max(CLOCK_WARN, after - before):
        yield Finding(Level.OK, "clock", told)
    else:
        level = Level.FAIL if abs(apart) >= CLOCK_FAIL else Level.WARN
        yield Finding(level, "clock", told, "let both follow one time server")
