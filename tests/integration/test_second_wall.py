"""The second wall alone: the first one, the tenant predicate and the grants, is taken away here.

Every statement is sent without any predicate, by a role that may do everything to every table, so nothing but
row-level security stands between two tenants. The same check finds the leak as soon as that is switched off.
"""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import text

from quire import jobs, tenants, testing
from quire.artifacts import Made
from quire.database import Database
from quire.ids import new_id
from quire.jobs import Once
from quire.quotas import Quotas
from quire.store import ApiKey, LaneForecast, Tenant
from quire.testing import MODEL, RING, Place
from tests.integration import steps

# Every table that knows tenants, with the column that names the owner.
TABLES = """
    SELECT relname, CASE relname WHEN 'tenants' THEN 'id' ELSE 'tenant_id' END
    FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
        AND (relname = 'tenants' OR EXISTS (
            SELECT FROM pg_attribute WHERE attrelid = pg_class.oid AND attname = 'tenant_id' AND NOT attisdropped))
    ORDER BY 1
"""


@pytest.fixture
def scratch(postgres_server: str, template: str) -> Iterator[Place]:
    """Two tenants with a row in each table, in a database where the API's role may do everything."""
    url = testing.create_database(postgres_server, template=template)
    database = Database(testing.sqlalchemy_url(url), name="test")
    place = testing.settle_in(database)
    with database.engine.begin() as connection:
        connection.execute(text("GRANT ALL ON ALL TABLES IN SCHEMA public TO quire_api"))
    yield place
    database.close()
    testing.drop_database(postgres_server, url)


@pytest.fixture
def stranger(scratch: Place) -> Tenant:
    """The one who looks; the place's tenant is the one whose rows must not be seen."""
    furnish(scratch, scratch.tenant)
    other = steps.tenant(scratch)
    furnish(scratch, other)
    return other


def furnish(place: Place, owner: Tenant) -> None:
    """One row in each table that has an owner."""
    with place.database.tenant(owner.id) as session:
        jobs.submit(session, testing.submission(owner), once=Once("key", b"print"), quotas=Quotas(10, None))
    steps.webhook(place, owner)
    steps.schedule(place, owner)
    steps.file(place, owner)
    steps.batch(place, 1, owner)
    (claimed,) = steps.claim(place, steps.worker(place))
    steps.keep(place, claimed, Made(0, "abc", b"X:1"))
    steps.succeed(place, claimed, "Hello")
    with place.database.service() as session:
        key = ApiKey(id=new_id(), tenant_id=owner.id, prefix=owner.name, secret_hash=b"hash", scopes=["jobs"])
        session.add(key)
        session.add(LaneForecast(model=MODEL, tenant_id=owner.id))
        tenants.suspend(session, owner.id)
    with place.database.service() as session:
        tenants.delete(session, owner.id, RING, "request")


def tables(place: Place) -> dict[str, str]:
    with place.database.service() as session:
        return dict(session.execute(text(TABLES)).all())


def leaks(place: Place, stranger: Tenant) -> set[str]:
    """What the stranger's transaction sees, changes or deletes of others, as `seen jobs` and so on."""
    found = set()
    for table, owner in tables(place).items():
        statements = {
            "seen": f"SELECT count(*) FROM {table} WHERE {owner} <> :me",
            "changed": f"WITH x AS (UPDATE {table} SET {owner} = {owner} RETURNING {owner}) "
            f"SELECT count(*) FROM x WHERE {owner} <> :me",
            "deleted": f"WITH x AS (DELETE FROM {table} RETURNING {owner}) "
            f"SELECT count(*) FROM x WHERE {owner} <> :me",
        }
        for what, statement in statements.items():
            if touches(place, stranger, table, statement):
                found.add(f"{what} {table}")
    return found


def touches(place: Place, stranger: Tenant, table: str, statement: str) -> bool:
    with place.database.engine.connect() as connection, connection.begin() as transaction:
        # Foreign keys would refuse to delete what others refer to: not what is tested here.
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text("SELECT set_config('role', 'quire_api', true)"))
        connection.execute(text("SELECT set_config('quire.tenant', :id, true)"), {"id": str(stranger.id)})
        count = connection.execute(text(statement), {"me": stranger.id}).scalar_one()
        transaction.rollback()
    return bool(count)


def test_each_table_has_rows_of_both_tenants(scratch: Place, stranger: Tenant) -> None:
    # A table that is empty would pass every check below: whoever adds one furnishes it.
    for table, owner in tables(scratch).items():
        with scratch.database.service() as session:
            owners = set(session.scalars(text(f"SELECT {owner} FROM {table}")))
        assert owners == {scratch.tenant.id, stranger.id}, f"furnish {table}"


def test_nothing_of_another_tenant_is_seen_changed_or_deleted(scratch: Place, stranger: Tenant) -> None:
    assert leaks(scratch, stranger) == set()


def test_without_row_level_security_the_check_finds_every_leak(scratch: Place, stranger: Tenant) -> None:
    for table in tables(scratch):
        with scratch.database.engine.begin() as connection:
            connection.execute(text(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY"))

        assert leaks(scratch, stranger) == {f"{what} {table}" for what in ("seen", "changed", "deleted")}

        with scratch.database.engine.begin() as connection:
            connection.execute(text(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"))


@pytest.mark.parametrize("table", ["jobs", "ledger", "lanes", "chunks", "idempotency_keys", "api_keys"])
def test_no_row_can_be_written_in_anothers_name(scratch: Place, stranger: Tenant, table: str) -> None:
    # given a copy of one of the stranger's own rows, signed with another's name
    names = sql.SQL(", ").join(map(sql.Identifier, columns(scratch, table)))
    with scratch.database.engine.connect() as connection, connection.begin() as transaction:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text("SELECT set_config('role', 'quire_api', true)"))
        connection.execute(text("SELECT set_config('quire.tenant', :id, true)"), {"id": str(stranger.id)})
        cursor = connection.connection.cursor()
        forged = sql.SQL(
            "INSERT INTO {table} ({names}) OVERRIDING SYSTEM VALUE"
            " SELECT (jsonb_populate_record(mine, jsonb_build_object('tenant_id', {other}::text))).*"
            " FROM {table} AS mine LIMIT 1"
        ).format(table=sql.Identifier(table), names=names, other=sql.Literal(str(scratch.tenant.id)))
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
            cursor.execute(forged)
        transaction.rollback()


def columns(place: Place, table: str) -> list[str]:
    query = text("""
        SELECT attname FROM pg_attribute WHERE attrelid = CAST(:table AS regclass) AND attnum > 0
            AND NOT attisdropped ORDER BY attnum
    """)
    with place.database.service() as session:
        return list(session.scalars(query, {"table": table}))
