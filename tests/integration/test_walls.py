"""Row-level security: what one tenant's session can see and do when every query forgets its predicate."""

from uuid import UUID

import pytest
from psycopg.sql import SQL, Identifier
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from quire import jobs, testing
from quire.artifacts import Made
from quire.ids import new_id
from quire.jobs import Once
from quire.quotas import Quotas
from quire.store import ApiKey, LaneForecast, Tenant, chunk
from quire.store.base import now
from quire.store.tenant import FIND_KEY
from quire.testing import MODEL, Place
from tests.integration import steps

# Tables that the API's role may see at all; api_keys it may not.
TABLES = (
    "artifact_parts",
    "artifacts",
    "batch_items",
    "batches",
    "chunks",
    "file_parts",
    "files",
    "idempotency_keys",
    "jobs",
    "lane_forecasts",
    "lanes",
    "ledger",
    "occurrences",
    "openai_batches",
    "schedule_versions",
    "schedules",
    "usage",
    "webhook_attempts",
    "webhook_deliveries",
    "webhook_endpoints",
    "webhook_events",
)
UPDATES = {
    "batch_items": "UPDATE batch_items SET place = 9",
    "batches": "UPDATE batches SET priority = 9",
    "jobs": "UPDATE jobs SET priority = 9",
    "lanes": "UPDATE lanes SET virtual_time = 0",
    "ledger": "UPDATE ledger SET completion_tokens = 0",
    "schedules": "UPDATE schedules SET fired = 9",
    "usage": "UPDATE usage SET reserved = 0",
    "webhook_deliveries": "UPDATE webhook_deliveries SET rung = 0",
    "webhook_endpoints": "UPDATE webhook_endpoints SET failures = 0",
}
DELETES = ("jobs", "chunks", "batch_items")


def furnish(place: Place, owner: Tenant) -> None:
    """One row in each table."""
    with place.database.tenant(owner.id) as session:
        jobs.submit(session, testing.submission(owner), once=Once("key", b"print"), quotas=Quotas(10, None))
    steps.webhook(place, owner)
    steps.schedule(place, owner)
    steps.file(place, owner)  # and a batch that was made of it
    (claimed,) = steps.claim(place, steps.worker(place))
    steps.keep(place, claimed, Made(0, "abc", b"X:1"))
    steps.succeed(place, claimed, "Hello")
    with place.database.service() as session:
        session.add(LaneForecast(model=MODEL, tenant_id=owner.id))
        session.add(
            ApiKey(
                id=new_id(), tenant_id=owner.id, prefix=f"qk_{owner.name}", secret_hash=b"hash", scopes=["jobs"]
            )
        )


@pytest.fixture
def stranger(place: Place) -> Tenant:
    """A tenant beside the one whose house is furnished."""
    furnish(place, place.tenant)
    other = steps.tenant(place)
    furnish(place, other)
    return other


def owners(session: Session, table: str) -> set[UUID]:
    return set(session.scalars(text(f"SELECT tenant_id FROM {table}")))


@pytest.mark.parametrize("table", TABLES)
def test_a_tenant_sees_its_own_rows_alone(place: Place, stranger: Tenant, table: str) -> None:
    with place.database.tenant(stranger.id) as session:
        assert owners(session, table) == {stranger.id}


def test_a_tenant_sees_itself_alone_among_the_tenants(place: Place, stranger: Tenant) -> None:
    with place.database.tenant(stranger.id) as session:
        assert session.scalars(text("SELECT id FROM tenants")).all() == [stranger.id]


@pytest.mark.parametrize("table", UPDATES)
def test_a_tenant_changes_its_own_rows_alone(place: Place, stranger: Tenant, table: str) -> None:
    with place.database.service() as session:
        own = session.scalars(text(f"SELECT tenant_id FROM {table}")).all().count(stranger.id)

    with place.database.tenant(stranger.id) as session:
        assert session.execute(text(UPDATES[table])).rowcount == own > 0


@pytest.mark.parametrize("table", DELETES)
def test_a_tenant_deletes_its_own_rows_alone(place: Place, stranger: Tenant, table: str) -> None:
    with place.database.tenant(stranger.id) as session:
        session.execute(text(f"DELETE FROM {table}"))

    with place.database.service() as session:
        assert owners(session, table) == {place.tenant.id}


def test_a_tenant_cannot_submit_for_another(place: Place, stranger: Tenant) -> None:
    with pytest.raises(DBAPIError, match="row-level security"), place.database.tenant(stranger.id) as session:
        testing.add_job(session, place.tenant)


def test_a_tenant_cannot_give_its_rows_to_another(place: Place, stranger: Tenant) -> None:
    with pytest.raises(DBAPIError, match="row-level security"), place.database.tenant(stranger.id) as session:
        session.execute(text("UPDATE ledger SET tenant_id = :id"), {"id": place.tenant.id})


@pytest.mark.parametrize("table", [*TABLES, "tenants"])
def test_a_visitor_sees_nothing(place: Place, stranger: Tenant, table: str) -> None:
    assert place.database.look_up(SQL("SELECT FROM {}").format(Identifier(table))) is None


@pytest.mark.parametrize("table", [*TABLES, "api_keys"])
def test_a_service_sees_all(place: Place, stranger: Tenant, table: str) -> None:
    with place.database.service() as session:
        assert owners(session, table) == {place.tenant.id, stranger.id}


@pytest.mark.parametrize(
    "forbidden",
    [
        "SELECT FROM api_keys",
        "SELECT FROM tenant_receipts",
        "SELECT FROM chunks_default",
        "UPDATE tenants SET weight = 100",
        "UPDATE workers SET draining = true",
        "DELETE FROM ledger",
        "SELECT FROM guesses",
        "UPDATE lane_forecasts SET jobs = 0",
        "UPDATE forecasts SET slots = 0",
        "SELECT make_chunks_partition('chunks_20250101', NULL, NULL)",
        "INSERT INTO chunks (job_id) VALUES (NULL)",
    ],
)
def test_a_tenants_session_is_refused(place: Place, stranger: Tenant, forbidden: str) -> None:
    with pytest.raises(DBAPIError, match="permission denied"), place.database.tenant(stranger.id) as session:
        session.execute(text(forbidden))


# ---- keys --------------------------------------------------------------------------------------------------


def test_a_visitor_can_look_up_a_key_by_its_prefix(place: Place, stranger: Tenant) -> None:
    row = place.database.look_up(FIND_KEY, prefix=f"qk_{stranger.name}")

    assert row is not None
    assert (row.tenant_id, row.secret_hash, row.scopes, row.revoked_at) == (stranger.id, b"hash", ["jobs"], None)


def test_an_unknown_prefix_finds_nothing(place: Place, stranger: Tenant) -> None:
    assert place.database.look_up(FIND_KEY, prefix="qk_%") is None


# ---- the next transaction ----------------------------------------------------------------------------------


def test_a_role_does_not_outlive_its_transaction(place: Place, stranger: Tenant) -> None:
    # Connections are pooled: the next user of this one must begin from nothing.
    with place.database.tenant(stranger.id) as session:
        session.execute(text("SELECT 1"))

    assert place.database.look_up("SELECT 1 AS one") == (1,)

    with place.database.engine.connect() as connection:
        role, tenant = connection.execute(text("SELECT current_user, current_setting('quire.tenant', true)")).one()
    assert role != "quire_api"
    assert not tenant


def test_a_role_does_not_outlive_a_transaction_that_failed(place: Place, stranger: Tenant) -> None:
    with pytest.raises(DBAPIError), place.database.tenant(stranger.id) as session:
        session.execute(text("SELECT 1 / 0"))

    assert place.database.look_up("SELECT FROM jobs") is None


# ---- the catalogue -----------------------------------------------------------------------------------------


def test_every_table_with_a_tenant_has_its_wall(place: Place) -> None:
    query = text("""
        SELECT relname FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
            AND attname = 'tenant_id' AND NOT relrowsecurity
    """)
    with place.database.service() as session:
        assert session.scalars(query).all() == []


def test_every_wall_has_a_policy_for_either_role(place: Place) -> None:
    query = text("SELECT tablename, array_agg(roles::text ORDER BY roles::text) FROM pg_policies GROUP BY 1")
    with place.database.service() as session:
        policies = dict(session.execute(query).all())

    both = ["{quire_api}", "{quire_service}"]
    assert policies == dict.fromkeys((*TABLES, "api_keys", "tenant_receipts", "tenants"), both)


def test_no_partition_can_be_reached_past_its_wall(place: Place) -> None:
    query = text("""
        SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r'
            AND (has_table_privilege('quire_api', oid, 'SELECT') OR has_table_privilege('public', oid, 'SELECT'))
    """)
    with place.database.service() as session:
        chunk.make_partition(session, now(session))

        assert session.scalars(query).all() == []


def test_neither_role_can_log_in_or_pass_the_walls(place: Place) -> None:
    query = text("""
        SELECT rolname FROM pg_roles WHERE rolname IN ('quire_api', 'quire_service')
            AND (rolcanlogin OR rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb)
    """)
    with place.database.service() as session:
        assert session.scalars(query).all() == []
