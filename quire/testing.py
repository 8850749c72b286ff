"""What tests of Quire, and of things built on it, start from: a migrated database, rows, and fakes."""

import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import UUID

import psycopg
from alembic import command
from alembic.config import Config
from psycopg import sql
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from quire import jobs
from quire.crypto import DataKey, KeyRing
from quire.database import Database
from quire.fairness import estimate
from quire.ids import new_id
from quire.settings import REPOSITORY
from quire.spec import Input, Parameters, Spec
from quire.store import Job, Tenant, model, worker
from quire.store.base import now

MASTER_KEYS = "test:" + "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
RING = KeyRing.parse(MASTER_KEYS)
MODEL = "tiny"


# ---- databases -------------------------------------------------------------------------------------------


def migrate(url: str, revision: str = "head") -> None:
    """Bring a database to a revision."""
    config = Config(REPOSITORY / "alembic.ini")
    config.attributes["url"] = sqlalchemy_url(url)
    command.upgrade(config, revision)


def sqlalchemy_url(url: str) -> str:
    return make_url(url).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)


def create_database(server_url: str, *, template: str | None = None) -> str:
    """Make a database of a random name, a copy of `template` if given; returns its URL."""
    name = f"quire_{secrets.token_hex(6)}"
    statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
    if template:
        statement += sql.SQL(" TEMPLATE {} STRATEGY FILE_COPY").format(sql.Identifier(template))
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(statement)
    return make_url(server_url).set(database=name).render_as_string(hide_password=False)


def drop_database(server_url: str, url: str) -> None:
    name = sql.Identifier(str(make_url(url).database))
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))


# ---- rows ------------------------------------------------------------------------------------------------


def byte_tokenizer(tags: Sequence[str] = ()) -> str:
    """Return a tokenizer.json with a token for each byte, 256 for the end of a text, and one for each tag."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in printable]
    letters = {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(hidden)}
    vocabulary = {letters[byte]: byte for byte in range(256)} | {"<|endoftext|>": 256}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    return json.dumps({
        "version": "1.0",
        "added_tokens": [
            {
                "id": 256 + place, "content": content, "special": content.startswith("<|"),
                "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
            }
            for place, content in enumerate(("<|endoftext|>", *tags))
        ],
        "pre_tokenizer": byte_level,
        "decoder": byte_level,
        "model": {"type": "BPE", "vocab": vocabulary, "merges": []},
    })  # fmt: skip


def add_model(
    session: Session,
    name: str = MODEL,
    *,
    context_length: int = 512,
    kind: str = "text",
    renders: Iterable[str] = (),
    tags: Sequence[str] = (),
    sampling: Mapping[str, float] = MappingProxyType({}),
) -> None:
    row = {
        "name": name,
        "context_length": context_length,
        "vocab_size": 257 + len(tags),
        "numerics": "fake",
        "tokenizer": byte_tokenizer(tags),
        "tokenizer_digest": "".join(("bytes", *tags)),
        "kind": kind,
        "renders": list(renders),
        "sampling": json.dumps(dict(sampling)),
    }
    session.execute(model.REGISTER, row)


def add_tenant(session: Session, name: str = "", **columns: Any) -> Tenant:
    tenant_id = new_id()
    wrapped = RING.new_data_key(tenant_id)
    tenant = Tenant(
        id=tenant_id,
        name=name or f"tenant-{tenant_id.hex}",
        master_key=wrapped.master,
        data_key=wrapped.sealed,
        **columns,
    )
    session.add(tenant)
    session.flush()
    return tenant


def today(session: Session) -> date:
    """Return the day of the accounts: Postgres's, in UTC."""
    return now(session).astimezone(UTC).date()


def data_key(tenant: Tenant) -> DataKey:
    return RING.unwrap(tenant.wrapped_key, tenant.id)


def add_worker(session: Session, name: str = MODEL, *, lease: float = 3600.0, slots: int = 8) -> UUID:
    row = {
        "id": new_id(), "model": name, "host": "test", "pid": secrets.randbelow(2**31), "slots": slots,
        "numerics": "fake", "lease": lease,
    }  # fmt: skip
    session.execute(worker.ENTER, row)
    return row["id"]  # type: ignore[return-value]


def submission(tenant: Tenant, prompt: str = "Once", *, model: str = MODEL, **columns: Any) -> jobs.Submission:
    """Return a job as the API would submit it; columns override."""
    job_id = new_id()
    parameters = columns.pop("parameters", Parameters(max_tokens=16))
    spec = Spec(input=Input(prompt=prompt), parameters=parameters)
    tokens = len(prompt.encode())
    fields: dict[str, Any] = {
        "id": job_id,
        "tenant_id": tenant.id,
        "model": model,
        "seed": 7,
        "body": data_key(tenant).seal(spec.encode(), f"job:{job_id}"),
        "prompt_tokens": tokens,
        "max_tokens": parameters.max_tokens * parameters.n,
        "estimate": estimate(tokens, parameters.max_tokens, parameters.draws),
    }
    return jobs.Submission(**fields | columns)


def add_job(session: Session, tenant: Tenant, **columns: Any) -> Job:
    return jobs.submit(session, submission(tenant, **columns), once=None, quotas=tenant.quotas)


# ---- fakes -----------------------------------------------------------------------------------------------


class FakePublisher:
    """Remembers the models whose slots were woken."""

    def __init__(self) -> None:
        self.woken: list[str] = []

    def wake(self, model: str) -> None:
        self.woken.append(model)

    def close(self, timeout: float = 0) -> None:
        """Nothing is open."""


@dataclass(frozen=True)
class Place:
    """One tenant in one database, with a model: where most tests begin."""

    database: Database
    tenant: Tenant


def settle_in(database: Database, **columns: Any) -> Place:
    with database.service() as session:
        add_model(session)
        return Place(database, add_tenant(session, **columns))


def checkpoint_folder(name: str = "quire-verse") -> Path:
    return REPOSITORY / "checkpoints" / name
