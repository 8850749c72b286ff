"""The use case behind POST /v1/jobs/bulk: many jobs in one body, queued all together or not at all."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg.errors import LockNotAvailable
from sqlalchemy.exc import OperationalError

from api.body import canonical
from api.schemas import BulkRequest
from api.submission import Wakes
from quire import ids, jobs
from quire.asking.drafting import Catalogue, ChosenModel, drafted
from quire.asking.request import JobRequest
from quire.asking.validation import MAX_PROBLEMS, checked
from quire.crypto import DataKey, KeyRing
from quire.database import Database
from quire.errors import BadRequest, FieldProblem, IdempotencyKeyInUse, InvalidField, UnknownModel
from quire.jobs import Once, Submission
from quire.quotas import Quotas
from quire.store import Tenant

ROUTE = b"POST /v1/jobs/bulk\n"  # part of the fingerprint: a key belongs to one route


@dataclass(frozen=True)
class AcceptedBulk:
    """The ids in the order of the body, and whether an earlier request with this Idempotency-Key made them."""

    ids: Sequence[UUID]
    replayed: bool


@dataclass(frozen=True)
class _Asked:
    """What the tenant's transaction has found for a body."""

    key: DataKey
    once: Once | None
    quotas: Quotas
    wanted: Sequence[JobRequest]
    models: dict[tuple[str | None, str], ChosenModel]  # by the name in the job and the kind


class BulkSubmissions:
    def __init__(
        self,
        *,
        database: Database,
        ring: KeyRing,
        catalogue: Catalogue,
        publisher: Wakes,
        submitted: Callable[[str], None],
    ) -> None:
        self._database = database
        self._ring = ring
        self._catalogue = catalogue
        self._publisher = publisher
        self._submitted = submitted  # is told the model of each new job

    def submit(self, tenant_id: UUID, body: dict[str, Any], idempotency_key: str | None) -> AcceptedBulk:
        """Queue the jobs that a body asks for.

        Raises:
            InvalidField: something in a job is at fault; each field is named, as `jobs.17.max_tokens`.
            IdempotencyKeyReused, IdempotencyKeyInUse: see docs/api.md.
            QuotaExceeded, DailyTokensExceeded: not all of them fit the tenant's quotas.
            ModelNotReady: no worker has ever loaded one of the models.

        """
        asked = self._look_up(tenant_id, body, idempotency_key)
        if not isinstance(asked, _Asked):
            return asked
        news = _drafts(tenant_id, asked)
        made = self._write(tenant_id, news, asked)
        replayed = made[0] != news[0].id
        if not replayed:
            for new in news:
                self._submitted(new.model)
            for model in {new.model for new in news}:  # a slot each; the scheduler wakes the others
                self._publisher.wake(model)
        return AcceptedBulk(made, replayed)

    def _look_up(
        self, tenant_id: UUID, body: dict[str, Any], idempotency_key: str | None
    ) -> _Asked | AcceptedBulk:
        with self._database.tenant(tenant_id) as session:
            tenant = session.get_one(Tenant, tenant_id)
            key = self._ring.unwrap(tenant.wrapped_key, tenant_id)
            once = Once(idempotency_key, key.fingerprint(ROUTE + canonical(body))) if idempotency_key else None
            if once and (first := jobs.first_made_before(session, tenant_id, once)):
                return AcceptedBulk(ids.run(first, len(body["jobs"])), replayed=True)
            wanted = checked(BulkRequest, body).jobs
            models = self._models(session, wanted)
        return _Asked(key, once, tenant.quotas, wanted, models)

    def _models(self, session: Any, wanted: Sequence[JobRequest]) -> dict[tuple[str | None, str], ChosenModel]:
        models: dict[tuple[str | None, str], ChosenModel] = {}
        for index, job in enumerate(wanted):
            if (job.model, job.kind) not in models:
                try:
                    models[job.model, job.kind] = self._catalogue.find(session, job.model, job.kind)
                except UnknownModel as error:
                    raise _in_job(index, error) from None
        return models

    def _write(self, tenant_id: UUID, news: Sequence[Submission], asked: _Asked) -> list[UUID]:
        try:
            with self._database.tenant(tenant_id) as session:
                return jobs.submit_many(session, tenant_id, news, once=asked.once, quotas=asked.quotas)
        except OperationalError as error:
            if asked.once and isinstance(error.orig, LockNotAvailable):
                raise IdempotencyKeyInUse from error
            raise


def _drafts(tenant_id: UUID, asked: _Asked) -> list[Submission]:
    """Draft every job, or name what is wrong with the first few that cannot be."""
    drafts: list[Submission] = []
    problems: list[FieldProblem] = []
    for index, (job_id, wanted) in enumerate(zip(ids.new_run(len(asked.wanted)), asked.wanted, strict=True)):
        try:
            drafts.append(drafted(job_id, tenant_id, asked.key, wanted, asked.models[wanted.model, wanted.kind]))
        except BadRequest as error:
            problems += _in_job(index, error).fields
            if len(problems) >= MAX_PROBLEMS:
                break
    if problems:
        raise InvalidField(f"{problems[0].field}: {problems[0].message}", fields=tuple(problems))
    return drafts


def _in_job(index: int, error: BadRequest) -> InvalidField:
    """Say of which job an error speaks."""
    fields = tuple(FieldProblem(f"jobs.{index}.{item.field}", item.message) for item in error.fields)
    return InvalidField(f"{fields[0].field}: {fields[0].message}", fields=fields)
