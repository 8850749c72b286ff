"""A Postgres with Quire's tables and nothing else running, and ways to fill it."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString
from uuid import UUID

import psycopg
from sqlalchemy import insert

from quire import embedded, ids, testing
from quire.database import Database
from quire.store import Lane, Tenant

MODEL = testing.MODEL
ESTIMATE = 100
MOST = 10_000_000  # the highest `max_queued` there may be: limits are not what is measured

# Jobs dealt out to tenants in turn, with their ledger entries. Their bodies cannot be opened: nobody runs them.
# Foreign keys hold by construction, and are not checked a million times.
FILL: LiteralString = """
    WITH fresh AS (
        INSERT INTO jobs (id, tenant_id, model, kind, seed, body, prompt_tokens, max_tokens, estimate)
        SELECT uuidv7(), (%(tenants)s::uuid[])[1 + n %% cardinality(%(tenants)s::uuid[])], %(model)s, 'text', n,
            decode(repeat('5a', 300), 'hex'), 4, %(estimate)s - 4, %(estimate)s
        FROM generate_series(0, %(count)s - 1) AS n RETURNING id, tenant_id, model, estimate)
    INSERT INTO ledger (job_id, tenant_id, model, reserved) SELECT id, tenant_id, model, estimate FROM fresh
"""
WAKE: LiteralString = """
    UPDATE lanes SET ready = true WHERE tenant_id = ANY (%s) AND NOT ready AND EXISTS (
        SELECT FROM jobs WHERE jobs.model = lanes.model AND jobs.tenant_id = lanes.tenant_id AND state = 'queued')
"""


@dataclass(frozen=True)
class Bare:
    """A migrated database with a model."""

    url: str
    database: Database

    def tenants(self, count: int) -> list[UUID]:
        """Make tenants with their lanes, at virtual times that lie apart."""
        rows: list[dict[str, Any]] = []
        for number in range(count):
            tenant = ids.new_id()
            wrapped = testing.RING.new_data_key(tenant)
            rows.append({
                "id": tenant, "name": f"tenant {number} {tenant.hex}", "max_queued": MOST,
                "master_key": wrapped.master, "data_key": wrapped.sealed,
            })  # fmt: skip
        lanes = [
            {"model": MODEL, "tenant_id": row["id"], "virtual_time": float(number % 100)}
            for number, row in enumerate(rows)
        ]
        with self.database.service() as session:
            session.execute(insert(Tenant), rows)
            session.execute(insert(Lane), lanes)
        return [row["id"] for row in rows]

    def fill(self, tenants: Sequence[UUID], count: int) -> None:
        """Queue so many jobs, dealt out to these tenants."""
        what = {"tenants": list(tenants), "count": count, "model": MODEL, "estimate": ESTIMATE}
        with psycopg.connect(self.url) as connection:
            connection.execute("SET session_replication_role = replica")
            connection.execute(FILL, what)
            connection.execute(WAKE, [list(tenants)])

    def tidy(self) -> None:
        """Do what autovacuum does within a minute after so much was loaded at once."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("VACUUM (ANALYZE) jobs, ledger, lanes, tenants")

    def number(self, query: LiteralString) -> float:
        """Return the one number that a query finds."""
        with psycopg.connect(self.url) as connection:
            row = connection.execute(query).fetchone()
        return float(row[0]) if row and row[0] is not None else 0.0


@contextmanager
def bare(name: str) -> Iterator[Bare]:
    """Start a Postgres that keeps what it is told, as in production."""
    with (
        tempfile.TemporaryDirectory(prefix="quire-bench-") as folder,
        embedded.postgres(Path(folder) / name) as server,
    ):
        testing.migrate(server.url)
        database = Database(testing.sqlalchemy_url(server.url), name="bench", pool_size=4)
        with database.service() as session:
            testing.add_model(session)
        try:
            yield Bare(server.url, database)
        finally:
            database.close()
