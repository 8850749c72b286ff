"""Checks of Redis, of the key ring, and of the processes that should be there."""

from collections.abc import Iterator

from sqlalchemy import select, text

from quire.artifacts import MEDIA_TYPES
from quire.crypto import KeyRing
from quire.doctor.finding import Finding, Level, Patient
from quire.errors import UndecryptableError
from quire.ids import TENANT, show
from quire.store import Model, Tenant
from quire.store.job import Kind
from quire.store.model import live_workers
from quire.store.oversight import NOWHERE

OLDEST_REDIS = 7
ARTIFACTS = tuple(MEDIA_TYPES)
PAGE = 1_000
SILENCE = 30.0  # seconds without a sign of a scheduler

MEASURED = text("SELECT CAST(extract(epoch FROM clock_timestamp() - max(measured_at)) AS float8) FROM forecasts")


def redis(patient: Patient) -> Iterator[Finding]:
    info = patient.redis.info()
    name = str(info.get("server_name", "redis"))
    told = f"{name} {info.get('valkey_version') or info.get('redis_version')}"
    if int(str(info.get("redis_version", "0")).split(".", maxsplit=1)[0]) < OLDEST_REDIS:
        yield Finding(Level.FAIL, "redis", told, f"Quire needs Redis {OLDEST_REDIS} or newer, or Valkey")
    else:
        yield Finding(Level.OK, "redis", told)
    policy = info.get("maxmemory_policy")
    if policy == "noeviction":
        yield Finding(Level.OK, "redis", "maxmemory-policy is noeviction")
    else:
        todo = "CONFIG SET maxmemory-policy noeviction, or tokens are lost silently when memory is full"
        yield Finding(Level.FAIL, "redis", f"maxmemory-policy is {policy}", todo)


def keys(patient: Patient) -> Iterator[Finding]:
    """Open the data key of every tenant."""
    ring = KeyRing.parse(patient.settings.master_keys.get_secret_value())
    opened, older, closed = 0, 0, list[str]()
    for tenant in _tenants(patient):
        try:
            ring.unwrap(tenant.wrapped_key, tenant.id)
        except UndecryptableError:
            closed.append(f"{show(TENANT, tenant.id)} ({tenant.master_key})")
        else:
            opened += 1
            older += tenant.master_key != ring.active
    if closed:
        told = f"{len(closed)} of {opened + len(closed)} tenants' data cannot be opened, as {closed[0]}"
        yield Finding(Level.FAIL, "keys", told, "put the master key named in brackets back into QUIRE_MASTER_KEYS")
    elif older:
        todo = "keep the older master keys until a scheduler has wrapped them anew"
        yield Finding(Level.OK, "keys", f"all {opened} tenants' keys open, {older} by an older master key", todo)
    else:
        yield Finding(Level.OK, "keys", f"all {opened} tenants' keys open, all by the newest master key")


def _tenants(patient: Patient) -> Iterator[Tenant]:
    last = NOWHERE
    while True:
        page = select(Tenant).where(Tenant.id > last).order_by(Tenant.id).limit(PAGE)
        with patient.database.service() as session:
            tenants = session.scalars(page).all()
        yield from tenants
        if len(tenants) < PAGE:
            return
        last = tenants[-1].id


def workers(patient: Patient) -> Iterator[Finding]:
    with patient.database.service() as session:
        live = live_workers(session)
    for model in patient.settings.models:
        if live.get(model):
            yield Finding(Level.OK, "workers", f"{live[model]} for {model}")
        else:
            yield Finding(Level.WARN, "workers", f"none for {model}", "its jobs wait; start one")


def music(patient: Patient) -> Iterator[Finding]:
    """Look at what the workers of models for music say that they can make of a tune."""
    with patient.database.service() as session:
        models = session.execute(select(Model.name, Model.renders).where(Model.kind == Kind.MUSIC.value)).all()
    for name, renders in models:
        lacking = [kind for kind in ARTIFACTS if kind not in renders]
        if lacking:
            todo = "install what is lacking, see Music in docs/operations.md, and restart its workers"
            yield Finding(Level.WARN, "music", f"{name} makes no {' and no '.join(lacking)} of a tune", todo)
        else:
            yield Finding(Level.OK, "music", f"{name} makes {', '.join(ARTIFACTS)}")


def scheduler(patient: Patient) -> Iterator[Finding]:
    with patient.database.service() as session:
        seconds = session.scalar(MEASURED)
    if seconds is None:
        todo = "it measures as soon as there is a model; without one, held jobs and deadlines wait"
        yield Finding(Level.WARN, "scheduler", "no sign of one yet", todo)
    elif seconds > SILENCE:
        todo = "start one: held jobs, deadlines and lapsed leases wait for it"
        yield Finding(Level.WARN, "scheduler", f"no sign of one for {seconds:.0f} s", todo)
    else:
        yield Finding(Level.OK, "scheduler", f"at work {seconds:.0f} s ago")
