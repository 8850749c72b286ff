"""The use case behind POST /v1/batches: items checked one by one, as they come, and kept all or none."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.orm import Session

from api.batches.requests import BatchOptions
from api.intake import keys_in_use_are_told
from quire import batches, jobs
from quire.asking.drafting import Catalogue, ChosenModel
from quire.asking.entries import SentItem
from quire.asking.items import Owner, read_items
from quire.asking.request import Need
from quire.batches import Draft, Item, Limits
from quire.crypto import KeyRing
from quire.database import Database
from quire.errors import Gone, IdempotencyKeyInUse
from quire.jobs import Once
from quire.store import Batch, Tenant, idempotency


@dataclass(frozen=True)
class Opened:
    batch: UUID
    replayed: bool  # an earlier request with this Idempotency-Key made it


class Opening:
    def __init__(self, *, database: Database, ring: KeyRing, catalogue: Catalogue, limits: Limits) -> None:
        self._database = database
        self._ring = ring
        self._catalogue = catalogue
        self._limits = limits

    def owner(self, tenant_id: UUID) -> Owner:
        with self._database.tenant(tenant_id) as session:
            tenant = session.get_one(Tenant, tenant_id)
            return Owner(tenant_id, self._ring.unwrap(tenant.wrapped_key, tenant_id), tenant.quotas)

    def open(
        self, owner: Owner, options: BatchOptions, entries: Iterable[SentItem], *, once: Once | None = None
    ) -> Opened:
        """Take a batch in.

        Raises:
            InvalidField: something in an item is at fault, or there are none, or too many; the first twenty
                problems are named, each with its line or its place in the body.
            QuotaExceeded: the tenant has too many batches that are not over.
            ModelNotReady: no worker has ever loaded a model that an item needs.
            IdempotencyKeyReused, IdempotencyKeyInUse, Gone: see docs/api.md.

        """
        if once and (earlier := self.made_before(owner, once)):
            return Opened(earlier, replayed=True)
        draft = Draft(
            tenant_id=owner.tenant_id,
            priority=options.priority,
            max_running=options.max_running,
            max_tokens=options.max_tokens,
            deadline=options.deadline,
            retention_hours=options.retention_hours,
            metadata=options.metadata,
        )

        def find(need: Need) -> ChosenModel:
            with self._database.tenant(owner.tenant_id) as session:
                return self._catalogue.find(session, need)

        return self.fill(
            owner, draft, lambda batch: read_items(find, owner, batch, entries, self._limits.items), once=once
        )

    def fill(
        self,
        owner: Owner,
        draft: Draft,
        items: Callable[[Batch], Iterable[Item]],
        *,
        once: Once | None = None,
    ) -> Opened:
        """Take a batch of these items in, once for a key."""

        def is_first(session: Session, batch: Batch) -> bool:
            return once is None or idempotency.enter(
                session, owner.tenant_id, once.key, once.fingerprint, batch.id
            )

        with keys_in_use_are_told(once):
            batch = batches.take(
                lambda: self._database.tenant(owner.tenant_id), draft, self._limits, items, is_first
            )
        if batch is not None:
            return Opened(batch.id, replayed=False)
        earlier = self.made_before(owner, once) if once else None
        if earlier is None:  # forgotten this very moment
            raise IdempotencyKeyInUse
        return Opened(earlier, replayed=True)

    def made_before(self, owner: Owner, once: Once) -> UUID | None:
        """Return the batch that a key has made; None if the key is new.

        Raises:
            IdempotencyKeyReused, Gone: see docs/api.md.

        """
        with self._database.tenant(owner.tenant_id) as session:
            earlier = jobs.first_made_before(session, owner.tenant_id, once)
            if earlier is not None and session.get(Batch, earlier) is None:
                raise Gone("The batch that this Idempotency-Key made has been deleted.")
            return earlier
