"""From a request in OpenAI's form to its jobs: drafted, and then queued, together and once for each key."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from api.intake import Intake, once_for
from api.openai.errors import ModelNotFound
from quire import ids, jobs
from quire.asking.drafting import ChosenModel, drafted
from quire.asking.items import Owner
from quire.asking.request import JobRequest, Need
from quire.errors import IdempotencyKeyInUse, UnknownModel
from quire.jobs import Once, Submission
from quire.spec import ResponseMode

# From what was sent and the model to the jobs that it asks for.
Find = Callable[[UUID, str], ChosenModel]  # of a tenant, by its name
Asks = Callable[[ChosenModel], Sequence[JobRequest]]


@dataclass(frozen=True)
class Order:
    """The jobs of one request, in their order; their ids follow one another."""

    owner: Owner
    jobs: Sequence[UUID]
    news: Sequence[Submission]  # none, if an earlier request with the same key has made the jobs
    once: Once | None

    @property
    def tenant_id(self) -> UUID:
        return self.owner.tenant_id

    @property
    def is_kept(self) -> bool:
        """Whether its client can come back for it."""
        return self.once is not None


class Orders:
    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    def draft(
        self,
        tenant_id: UUID,
        model: str,
        asks: Asks,
        *,
        count: int,
        once: tuple[str, bytes, Mapping[str, Any]] | None,
        response: ResponseMode | None = None,
    ) -> Order:
        """Draft `count` jobs, or find those that an equal request has made.

        `once`: an Idempotency-Key with the route and the body that it came with.

        Raises:
            ModelNotFound, ModelNotReady, InvalidField, PromptTooLong: the request is at fault, or comes too early.
            IdempotencyKeyReused: the key came with another body.

        """
        with self._intake.database.tenant(tenant_id) as session:
            owner = self._intake.owner(session, tenant_id)
            name, route, body = once or (None, b"", {})
            keyed = once_for(name, owner.key, route, body)
            if keyed and (first := jobs.first_made_before(session, tenant_id, keyed)):
                return Order(owner, ids.run(first, count), (), keyed)
            chosen = self._find(session, model)
        run = ids.new_run(count)
        asked = zip(run, asks(chosen), strict=True)
        news = [drafted(job, tenant_id, owner.key, wanted, chosen, response=response) for job, wanted in asked]
        return Order(owner, run, news, keyed)

    def model(self, tenant_id: UUID, name: str) -> ChosenModel:
        """Return a model for texts.

        Raises:
            ModelNotFound, ModelNotReady: there is none of that name, or not yet.

        """
        with self._intake.database.tenant(tenant_id) as session:
            return self._find(session, name)

    def _find(self, session: Session, name: str) -> ChosenModel:
        try:
            return self._intake.catalogue.find(session, Need(name))
        except UnknownModel as error:
            raise ModelNotFound(error.detail, fields=error.fields) from None

    def place(self, order: Order) -> None:
        """Queue the jobs, all or none.

        Raises:
            QuotaExceeded, DailyTokensExceeded: they do not fit the tenant's quota.
            IdempotencyKeyReused, IdempotencyKeyInUse, Gone: see docs/api.md.

        """
        if not order.news:
            return
        if self._write(order)[0] != order.jobs[0]:  # an equal request was quicker by a moment
            raise IdempotencyKeyInUse
        for new in order.news:
            self._intake.submitted(new.model)
            self._intake.publisher.wake(new.model)

    def _write(self, order: Order) -> Sequence[UUID]:
        owner, once, quotas = order.owner, order.once, order.owner.quotas
        with self._intake.writing(owner.tenant_id, once) as session:
            if len(order.news) > 1:
                return jobs.submit_many(session, owner.tenant_id, order.news, once=once, quotas=quotas)
            [new] = order.news
            return [jobs.submit(session, new, once=once, quotas=quotas, backlogs=self._intake.backlogs).id]
