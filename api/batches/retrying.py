"""The use case behind POST /v1/batches/{id}/retry: what did not succeed, as a batch of its own."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import chain
from uuid import UUID

from sqlalchemy import select

from api.batches.opening import Opened, Opening
from quire import batches
from quire.asking.items import Owner
from quire.batches import Cursor, Draft, Item, Place
from quire.database import Database
from quire.errors import Conflict
from quire.jobs import Submission
from quire.store import Batch, BatchItem, Job
from quire.store.batch import BatchState
from quire.store.job import Kind

PAGE = 500
UNFED = {BatchState.CANCELLED: "cancelled", BatchState.EXPIRED: "expired", BatchState.EXHAUSTED: "cancelled"}


@dataclass(frozen=True)
class _Again:
    """What is needed to make an item's job anew; `body` is sealed for the earlier job."""

    earlier: UUID
    body: bytes
    row: Job | BatchItem


class Retrying:
    def __init__(self, database: Database, opening: Opening) -> None:
        self._database = database
        self._opening = opening

    def retry(self, tenant_id: UUID, batch_id: UUID, states: Collection[str]) -> Opened:
        """Open a batch with the items of another that ended in one of these states; seeds stay what they were.

        It has the priority, cap, retention and metadata of the other, and neither its deadline nor its budget.

        Raises:
            NotFound: the tenant has no such batch.
            Conflict: it is not over, or no item ended so.
            QuotaExceeded: the tenant has too many batches that are not over.

        """
        owner = self._opening.owner(tenant_id)
        with self._database.tenant(tenant_id) as session:
            parent = batches.find(session, tenant_id, batch_id)
        if not parent.state.is_over:
            raise Conflict("The batch is running: its items may yet succeed.")
        again = self._items(owner, parent, states)
        first = next(again, None)
        if first is None:
            raise Conflict(f"No item of the batch that can be run again is {' or '.join(states)}.")
        draft = Draft(
            tenant_id=tenant_id,
            priority=parent.priority,
            max_running=parent.max_running,
            retention_hours=parent.retention_hours,
            metadata=parent.user_metadata,
            parent_id=parent.id,
        )

        def items(batch: Batch) -> Iterator[Item]:
            for number, found in enumerate(chain([first], again)):
                yield _item(owner, batch, number, *found)

        return self._opening.fill(owner, draft, items)

    def _items(self, owner: Owner, parent: Batch, states: Collection[str]) -> Iterator[tuple[str | None, _Again]]:
        """Yield custom ids and what to make anew, a page in a transaction."""
        after = Cursor()
        while True:
            with self._database.tenant(owner.tenant_id) as session:
                found = batches.places(session, parent, after, PAGE)
                wanted = [place.job for place in found if place.job]
                jobs = {job.id: job for job in session.scalars(select(Job).where(Job.id.in_(wanted)))}
            for place in found:
                if again := _wanted(parent, place, jobs.get(place.job) if place.job else None, states):
                    yield place.item.custom_id, again
            if not found:
                return
            after = found[-1].after


def _wanted(parent: Batch, place: Place, job: Job | None, states: Collection[str]) -> _Again | None:
    if job is not None:
        return _Again(job.id, job.body, job) if job.state.value in states else None
    item = place.item
    if item.body is None or UNFED[parent.state] not in states:
        return None
    return _Again(parent.job(item.number), item.body, item)


def _item(owner: Owner, batch: Batch, number: int, custom_id: str | None, again: _Again) -> Item:
    job, row = batch.job(number), again.row
    body = owner.key.seal(owner.key.open(again.body, f"job:{again.earlier}"), f"job:{job}")
    return Item(
        number,
        custom_id,
        Submission(
            id=job,
            tenant_id=owner.tenant_id,
            model=row.model or "",
            kind=Kind(row.kind or "text"),
            seed=row.seed or 0,
            body=body,
            prompt_tokens=row.prompt_tokens or 0,
            max_tokens=row.max_tokens or 0,
            estimate=row.estimate or 0,
            metadata=row.user_metadata,
        ),
    )
