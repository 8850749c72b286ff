"""What every way to queue jobs needs, and does alike: whose they are, and once for each Idempotency-Key."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

from psycopg.errors import LockNotAvailable
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from api.body import canonical
from quire.asking.drafting import Catalogue
from quire.asking.items import Owner
from quire.crypto import DataKey, KeyRing
from quire.database import Database
from quire.errors import IdempotencyKeyInUse
from quire.jobs import Backlogs, Once
from quire.store import Tenant


class Wakes(Protocol):
    """Who wakes a slot of a model after the commit; `quire.queue.Publisher` is one. Never blocks, never raises."""

    def wake(self, model: str) -> None: ...


@dataclass(frozen=True)
class Intake:
    database: Database
    ring: KeyRing
    catalogue: Catalogue
    publisher: Wakes
    submitted: Callable[[str], None]  # is told the model of each new job
    backlogs: Backlogs = field(default_factory=Backlogs)

    def owner(self, session: Session, tenant_id: UUID) -> Owner:
        tenant = session.get_one(Tenant, tenant_id)
        return Owner(tenant_id, self.ring.unwrap(tenant.wrapped_key, tenant_id), tenant.quotas)

    @contextmanager
    def writing(self, tenant_id: UUID, once: Once | None) -> Iterator[Session]:
        """One transaction of the tenant that queues jobs.

        Raises:
            IdempotencyKeyInUse: a request with the same key has not committed yet.

        """
        with keys_in_use_are_told(once), self.database.tenant(tenant_id) as session:
            yield session


def once_for(name: str | None, key: DataKey, route: bytes, body: Mapping[str, Any]) -> Once | None:
    """Return what makes a request happen once: its Idempotency-Key, with the fingerprint of route and body."""
    return Once(name, key.fingerprint(route + canonical(dict(body)))) if name else None


@contextmanager
def keys_in_use_are_told(once: Once | None) -> Iterator[None]:
    """Around a submission: only a request with the same key, not committed yet, is waited for until a time-out."""
    try:
        yield
    except OperationalError as error:
        if once and isinstance(error.orig, LockNotAvailable):
            raise IdempotencyKeyInUse from error
        raise
