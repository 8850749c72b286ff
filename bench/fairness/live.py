"""The whole system with a model so small that the queue decides, and tenants on it."""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import psycopg
from sqlalchemy import insert
from tokenizers import Tokenizer

from bench.engine.checkpoint import made
from bench.engine.options import Options as Shape
from bench.fairness.options import Options
from bench.system import System, running
from quire import fairness, ids
from quire.crypto import KeyRing
from quire.database import Database
from quire.settings import DatabaseSettings
from quire.spec import Input, Parameters, Spec
from quire.store import Job, LedgerEntry, Tenant
from quire.store import lane as lanes
from quire.store.job import Kind
from quire.store.lane import LaneKey
from quire_client import Quire

MODEL = "tiny"
SLOTS = 16
PROMPT = "the sea and the rose"
PATIENCE = 300.0


@dataclass(frozen=True)
class Ask:
    """A job: exactly `tokens` of them, unless a stop string may end it earlier."""

    tokens: int
    stop: tuple[str, ...] = ()

    @property
    def parameters(self) -> Parameters:
        least = 0 if self.stop else self.tokens
        return Parameters(max_tokens=self.tokens, min_tokens=least, stop=list(self.stop))


@dataclass(frozen=True)
class Customer:
    tenant: UUID
    key: str
    client: Quire


@dataclass(frozen=True)
class Live:
    """A running system, its database, and what is needed to queue many jobs at once."""

    system: System
    database: Database
    ring: KeyRing
    prompt_tokens: int

    def customers(self, count: int, name: str, **columns: float) -> list[Customer]:
        made = []
        with Quire(self.system.url, admin_token=self.system.admin_token) as operator:
            for number in range(count):
                tenant = operator.tenants.create(f"{name}-{number}", **columns)  # type: ignore[arg-type]
                key = operator.keys.create(tenant.id).secret or ""
                made.append(
                    Customer(UUID(tenant.id.removeprefix("ten_")), key, Quire(self.system.url, api_key=key))
                )
        return made

    def estimate(self, ask: Ask) -> int:
        return fairness.estimate(self.prompt_tokens, ask.tokens, 1)

    def queue(self, wanted: Mapping[UUID, Sequence[Ask]]) -> None:
        """Queue jobs of several tenants in one transaction, faster than over HTTP, and all at the same moment."""
        with self.database.service() as session:
            for tenant, asks in wanted.items():
                key = self.ring.unwrap(session.get_one(Tenant, tenant).wrapped_key, tenant)
                rows = []
                for seed, ask in enumerate(asks):
                    job = ids.new_id()
                    spec = Spec(input=Input(prompt=PROMPT), parameters=ask.parameters)
                    rows.append({
                        "id": job, "tenant_id": tenant, "model": MODEL, "kind": Kind.TEXT, "seed": seed,
                        "body": key.seal(spec.encode(), f"job:{job}"), "prompt_tokens": self.prompt_tokens,
                        "max_tokens": ask.tokens, "estimate": self.estimate(ask),
                    })  # fmt: skip
                lanes.open_lane(session, LaneKey(MODEL, tenant))
                session.execute(insert(Job), rows)
                session.execute(insert(LedgerEntry), [
                    {"job_id": row["id"], "tenant_id": tenant, "model": MODEL, "reserved": row["estimate"]}
                    for row in rows
                ])  # fmt: skip
            lanes.wake(session, [LaneKey(MODEL, tenant) for tenant in wanted])

    def count(self, tenant: UUID, state: str) -> int:
        with psycopg.connect(self.system.database_url) as connection:
            query = "SELECT count(*) FROM jobs WHERE tenant_id = %s AND state = %s"
            row = connection.execute(query, [tenant, state]).fetchone()
        return int(row[0]) if row else 0


@contextmanager
def live(options: Options, name: str, **environment: str) -> Iterator[Live]:
    folder = made(Shape(layers=2, width=64, vocabulary=1_000, cache=options.cache))
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    given = {
        "QUIRE_MODELS": f"{MODEL}={folder.resolve()}",
        "QUIRE_SLOTS": str(SLOTS),
        "QUIRE_THREADS": "1",
        **environment,
    }
    with (
        tempfile.TemporaryDirectory(prefix="quire-bench-") as data,
        running(Path(data) / name, **given) as system,
    ):
        url = DatabaseSettings(database_url=system.database_url).sqlalchemy_url
        database = Database(url, name="bench", pool_size=2)
        ring = KeyRing.parse((system.data / "master_keys").read_text())
        try:
            yield Live(system, database, ring, len(tokenizer.encode(PROMPT).ids))
        finally:
            database.close()


def wait_until(condition: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError(what)
        time.sleep(0.2)
