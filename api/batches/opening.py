"""The use case behind POST /v1/batches: items checked one by one, as they come, and kept all or none."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from uuid import UUID

from psycopg.errors import LockNotAvailable
from sqlalchemy.exc import OperationalError

from api.batches.lines import Entry
from api.batches.requests import BatchItem, BatchOptions
from api.drafting import Catalogue, ChosenModel, drafted
from api.validation import MAX_PROBLEMS, checked
from quire import batches
from quire.batches import Draft, Item
from quire.crypto import DataKey, KeyRing
from quire.database import Database
from quire.errors import BadRequest, FieldProblem, Gone, IdempotencyKeyInUse, IdempotencyKeyReused, InvalidField
from quire.jobs import Once, Submission
from quire.quotas import Quotas
from quire.store import Batch, Tenant, idempotency

PIECE = 500  # items of one transaction


@dataclass(frozen=True)
class Limits:
    """Of one batch, and of a tenant's batches that are not over."""

    items: int
    open: int


@dataclass(frozen=True)
class Opened:
    batch: UUID
    replayed: bool  # an earlier request with this Idempotency-Key made it


@dataclass(frozen=True)
class Owner:
    """Whose batch it is, and what is needed to seal and admit its items."""

    tenant_id: UUID
    key: DataKey
    quotas: Quotas


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
        self, owner: Owner, options: BatchOptions, entries: Iterable[Entry], *, once: Once | None = None
    ) -> Opened:
        """Take a batch in.

        Raises:
            InvalidField: something in an item is at fault, or there are none, or too many; the first twenty
                problems are named, each with its line or its place in the body.
            QuotaExceeded: the tenant has too many batches that are not over.
            ModelNotReady: no worker has ever loaded a model that an item needs.
            IdempotencyKeyReused, IdempotencyKeyInUse, Gone: see docs/api.md.

        """
        if once and (earlier := self._made_before(owner, once)):
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
        return self.fill(owner, draft, lambda batch: self._items(owner, batch, entries), once=once)

    def fill(
        self,
        owner: Owner,
        draft: Draft,
        items: Callable[[Batch], Iterable[Item]],
        *,
        once: Once | None = None,
    ) -> Opened:
        """Open a batch, add its items piece by piece, and release it; on any error nothing is left of it."""
        with self._database.tenant(owner.tenant_id) as session:
            batch = batches.open_batch(session, draft, most_items=self._limits.items, most_open=self._limits.open)
        try:
            for piece in _pieces(items(batch)):
                with self._database.tenant(owner.tenant_id) as session:
                    batches.add_items(session, batch, piece)
            return self._release(owner, batch, once)
        except BaseException:
            self._discard(owner, batch)
            raise

    def _release(self, owner: Owner, batch: Batch, once: Once | None) -> Opened:
        if not batch.total:
            raise InvalidField.one("items", "There are none")
        try:
            with self._database.tenant(owner.tenant_id) as session:
                if once is None or idempotency.enter(
                    session, owner.tenant_id, once.key, once.fingerprint, batch.id
                ):
                    return Opened(batches.release(session, batch).id, replayed=False)
        except OperationalError as error:
            if once and isinstance(error.orig, LockNotAvailable):
                raise IdempotencyKeyInUse from error
            raise
        earlier = self._made_before(owner, once)
        if earlier is None:  # forgotten this very moment
            raise IdempotencyKeyInUse
        self._discard(owner, batch)
        return Opened(earlier, replayed=True)

    def _made_before(self, owner: Owner, once: Once) -> UUID | None:
        with self._database.tenant(owner.tenant_id) as session:
            earlier = idempotency.find(session, owner.tenant_id, once.key)
            if earlier is None:
                return None
            if earlier.fingerprint != once.fingerprint:
                raise IdempotencyKeyReused
            if session.get(Batch, earlier.job_id) is None:
                raise Gone("The batch that this Idempotency-Key made has been deleted.")
            return earlier.job_id

    def _discard(self, owner: Owner, batch: Batch) -> None:
        with self._database.tenant(owner.tenant_id) as session:
            batches.discard(session, batch.id)

    def _items(self, owner: Owner, batch: Batch, entries: Iterable[Entry]) -> Iterator[Item]:
        """Yield the items; the first problem ends that, and further ones are only looked for."""
        problems: list[FieldProblem] = []
        reader = _Reader(self._find, owner, batch)
        for number, entry in enumerate(entries):
            if number >= self._limits.items:
                raise InvalidField.one("items", f"A batch has at most {self._limits.items:,}")
            try:
                item = reader.read(number, entry)
            except BadRequest as error:
                problems += entry.blame(error)
                if len(problems) >= MAX_PROBLEMS:
                    break
                continue
            if not problems:
                yield item
        if problems:
            first = problems[0]
            where = f"line {first.line}: " if first.line is not None else ""
            what = f"{first.field}: {first.message}" if first.field else first.message
            raise InvalidField(f"{where}{what}", fields=tuple(problems[:MAX_PROBLEMS]))

    def _find(self, tenant_id: UUID, model: str | None, kind: str) -> ChosenModel:
        with self._database.tenant(tenant_id) as session:
            return self._catalogue.find(session, model, kind)


class _Reader:
    """Makes items of entries; knows the models and the custom ids seen so far."""

    def __init__(self, find: Callable[[UUID, str | None, str], ChosenModel], owner: Owner, batch: Batch) -> None:
        self._find, self._owner, self._batch = find, owner, batch
        self._models: dict[tuple[str | None, str], ChosenModel] = {}
        self._seen: set[str] = set()

    def read(self, number: int, entry: Entry) -> Item:
        if entry.value is None:
            raise entry.error or BadRequest
        wanted = checked(BatchItem, dict(entry.value))
        if wanted.custom_id is not None:
            if wanted.custom_id in self._seen:
                raise InvalidField.one("custom_id", "Another item of this batch has the same")
            self._seen.add(wanted.custom_id)
        return Item(number, wanted.custom_id, self._draft(number, wanted))

    def _draft(self, number: int, wanted: BatchItem) -> Submission:
        names = (wanted.model, wanted.kind)
        if names not in self._models:
            self._models[names] = self._find(self._owner.tenant_id, *names)
        job = drafted(self._batch.job(number), self._owner.tenant_id, self._owner.key, wanted, self._models[names])
        most = self._owner.quotas.max_tokens_per_day
        if most is not None and job.reserved > most:
            message = f"It may cost {job.reserved} tokens, more than the tenant's {most} of a whole day"
            raise InvalidField.one("max_tokens", message)
        return job


def _pieces(items: Iterable[Item]) -> Iterator[list[Item]]:
    piece: list[Item] = []
    for item in items:
        piece.append(item)
        if len(piece) == PIECE:
            yield piece
            piece = []
    if piece:
        yield piece
