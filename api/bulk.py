"""The use case behind POST /v1/jobs/bulk: many jobs in one body, queued all together or not at all."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from api.intake import Intake, once_for
from api.schemas import BulkRequest
from quire import ids, jobs
from quire.asking.drafting import ChosenModel, check_fits_a_day, drafted
from quire.asking.items import Owner
from quire.asking.request import JobRequest, Need
from quire.asking.validation import MAX_PROBLEMS, checked
from quire.errors import BadRequest, FieldProblem, InvalidField, UnknownModel
from quire.jobs import Once, Submission

ROUTE = b"POST /v1/jobs/bulk\n"  # part of the fingerprint: a key belongs to one route


@dataclass(frozen=True)
class AcceptedBulk:
    """The ids in the order of the body, and whether an earlier request with this Idempotency-Key made them."""

    ids: Sequence[UUID]
    replayed: bool


@dataclass(frozen=True)
class _Asked:
    """What the tenant's transaction has found for a body."""

    owner: Owner
    once: Once | None
    wanted: Sequence[JobRequest]
    models: dict[Need, ChosenModel]


class BulkSubmissions:
    def __init__(self, intake: Intake) -> None:
        self._intake = intake

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
        news = _drafts(asked)
        made = self._write(news, asked)
        replayed = made[0] != news[0].id
        if not replayed:
            for new in news:
                self._intake.submitted(new.model)
            for model in {new.model for new in news}:  # a slot each; the scheduler wakes the others
                self._intake.publisher.wake(model)
        return AcceptedBulk(made, replayed)

    def _look_up(
        self, tenant_id: UUID, body: dict[str, Any], idempotency_key: str | None
    ) -> _Asked | AcceptedBulk:
        with self._intake.database.tenant(tenant_id) as session:
            owner = self._intake.owner(session, tenant_id)
            once = once_for(idempotency_key, owner.key, ROUTE, body)
            if once and (first := jobs.first_made_before(session, tenant_id, once)):
                return AcceptedBulk(ids.run(first, len(body["jobs"])), replayed=True)
            wanted = checked(BulkRequest, body).jobs
            models = self._models(session, wanted)
        return _Asked(owner, once, wanted, models)

    def _models(self, session: Session, wanted: Sequence[JobRequest]) -> dict[Need, ChosenModel]:
        models: dict[Need, ChosenModel] = {}
        for index, job in enumerate(wanted):
            if job.need not in models:
                try:
                    models[job.need] = self._intake.catalogue.find(session, job.need)
                except UnknownModel as error:
                    raise _in_job(index, error) from None
        return models

    def _write(self, news: Sequence[Submission], asked: _Asked) -> list[UUID]:
        owner, once = asked.owner, asked.once
        with self._intake.writing(owner.tenant_id, once) as session:
            return jobs.submit_many(session, owner.tenant_id, news, once=once, quotas=owner.quotas)


def _drafts(asked: _Asked) -> list[Submission]:
    """Draft every job, or name what is wrong with the first few that cannot be."""
    owner = asked.owner
    drafts: list[Submission] = []
    problems: list[FieldProblem] = []
    for index, (job_id, wanted) in enumerate(zip(ids.new_run(len(asked.wanted)), asked.wanted, strict=True)):
        try:
            model = asked.models[wanted.need]
            drafts.append(drafted(job_id, owner.tenant_id, owner.key, wanted, model))
            check_fits_a_day(drafts[-1], owner.quotas)
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
