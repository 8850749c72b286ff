"""The use case behind POST /v1/jobs: from a parsed body to a queued job, once for each Idempotency-Key."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from api import presenter, responses
from api.intake import Intake, once_for
from api.reading import JobReader
from quire import ids, jobs
from quire.asking.books import ContinueRequest, continued, of_continuation
from quire.asking.composing import composed
from quire.asking.drafting import check_fits_a_day, drafted
from quire.asking.items import Owner
from quire.asking.request import JobRequest
from quire.asking.validation import checked
from quire.errors import InvalidField
from quire.jobs import Once, Submission

ROUTE = b"POST /v1/jobs\n"  # part of the fingerprint: a key belongs to one route


@dataclass(frozen=True)
class Accepted:
    """The job that a submission made, or that its Idempotency-Key had made before."""

    job: responses.Job
    replayed: bool


@dataclass(frozen=True)
class _Ready:
    """A submission that needs nothing more from Postgres than to be written."""

    submission: Submission
    owner: Owner
    once: Once | None


class Submissions:
    def __init__(self, intake: Intake, reader: JobReader) -> None:
        self._intake = intake
        self._reader = reader

    def submit(self, tenant_id: UUID, body: dict[str, Any], idempotency_key: str | None) -> Accepted:
        """Queue the job that a body asks for.

        Raises:
            InvalidField, UnknownModel, PromptTooLong: the body is at fault; the field is named.
            IdempotencyKeyReused, IdempotencyKeyInUse, Gone: see docs/api.md.
            QuotaExceeded, DailyTokensExceeded: too many of the tenant's jobs are waiting, or too many tokens
                of its day are used or reserved.
            ModelNotReady: no worker has ever loaded the model.

        """
        return self._accept(self._prepare(tenant_id, body, idempotency_key))

    def go_on(self, tenant_id: UUID, job_id: UUID, body: dict[str, Any], idempotency_key: str | None) -> Accepted:
        """Submit a job that goes on with a book that is over.

        Raises:
            NotFound: the tenant has no such job.
            Conflict: it is no book, or not over.
            InvalidField: the body is at fault; the field is named. And what `submit` raises.

        """
        return self._accept(self._prepare(tenant_id, body, idempotency_key, goes_on_with=job_id))

    def _accept(self, ready: _Ready | responses.Job) -> Accepted:
        accepted = self._write(ready) if isinstance(ready, _Ready) else Accepted(ready, replayed=True)
        if not accepted.replayed:
            self._intake.submitted(accepted.job.model)
            if accepted.job.queue.position is not None:  # a held job is nobody's yet
                self._intake.publisher.wake(accepted.job.model)
        return accepted

    def _prepare(
        self,
        tenant_id: UUID,
        body: dict[str, Any],
        idempotency_key: str | None,
        goes_on_with: UUID | None = None,
    ) -> _Ready | responses.Job:
        """Check everything; or return the job that an equal request has made before."""
        with self._intake.database.tenant(tenant_id) as session:
            owner = self._intake.owner(session, tenant_id)
            route = ROUTE if goes_on_with is None else f"POST /v1/jobs/{goes_on_with}/continue\n".encode()
            once = once_for(idempotency_key, owner.key, route, body)
            # Looked up before the body is checked: a deadline, say, may have passed since the job was made.
            if once and (row := jobs.made_before(session, tenant_id, once)):
                return self._reader.present(session, row, owner.key)
            earlier = None
            if goes_on_with is not None:
                asked = checked(ContinueRequest, body)
                earlier = self._reader.earlier(session, tenant_id, goes_on_with)
                body = continued(asked, earlier)
            with _named_as_asked(continues=earlier is not None):
                wanted = checked(JobRequest, body)
                model = self._intake.catalogue.find(session, wanted.need)
        with _named_as_asked(continues=earlier is not None):
            submission = drafted(ids.new_id(), tenant_id, owner.key, wanted, model, earlier)
            check_fits_a_day(submission, owner.quotas)
        return _Ready(submission, owner, once)

    def plan(self, tenant_id: UUID, body: dict[str, Any]) -> responses.PlannedBook:
        """Check the request of a book, and return what is planned for it.

        Raises:
            InvalidField: as for a submission; or it is no book.

        """
        wanted = checked(JobRequest, body)
        if wanted.kind != "longform":
            raise InvalidField.one("kind", "Should be longform: only books are planned")
        with self._intake.database.tenant(tenant_id) as session:
            model = self._intake.catalogue.find(session, wanted.need)
        made = composed(
            wanted.drawn_as(model.sampling), model.limits, model.tokens.spans, can_write=model.tokens.can_write
        )
        if made.spec.longform is None:
            raise LookupError("a book without a plan")
        return presenter.planned(model.name, made.spec.longform, made.spec.input.prompt, made.prompt_tokens)

    def _write(self, ready: _Ready) -> Accepted:
        owner, once = ready.owner, ready.once
        with self._intake.writing(owner.tenant_id, once) as session:
            row = jobs.submit(
                session, ready.submission, once=once, quotas=owner.quotas, backlogs=self._intake.backlogs
            )
            shown = self._reader.present(session, row, owner.key)
            return Accepted(shown, replayed=row.id != ready.submission.id)


@contextmanager
def _named_as_asked(*, continues: bool) -> Iterator[None]:
    """Around the checks of a job: what a request to continue a book has got wrong, it reads in its own names."""
    try:
        yield
    except InvalidField as error:
        raise of_continuation(error) if continues else error from None
