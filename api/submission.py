"""The use case behind POST /v1/jobs: from a parsed body to a queued job, once for each Idempotency-Key."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from psycopg.errors import LockNotAvailable
from sqlalchemy.exc import OperationalError

from api import presenter, responses
from api.body import canonical
from api.reading import JobReader
from quire import ids, jobs
from quire.asking.composing import composed
from quire.asking.drafting import Catalogue, drafted
from quire.asking.request import JobRequest
from quire.asking.validation import checked
from quire.crypto import DataKey, KeyRing
from quire.database import Database
from quire.errors import IdempotencyKeyInUse, InvalidField
from quire.jobs import Once, Submission
from quire.quotas import Quotas
from quire.store import Tenant

ROUTE = b"POST /v1/jobs\n"  # part of the fingerprint: a key belongs to one route


class Wakes(Protocol):
    """Who wakes a slot of a model after the commit; `quire.queue.Publisher` is one. Never blocks, never raises."""

    def wake(self, model: str) -> None: ...


@dataclass(frozen=True)
class Accepted:
    """The job that a submission made, or that its Idempotency-Key had made before."""

    job: responses.Job
    replayed: bool


@dataclass(frozen=True)
class _Ready:
    """A submission that needs nothing more from Postgres than to be written."""

    submission: Submission
    key: DataKey
    once: Once | None
    quotas: Quotas


class Submissions:
    def __init__(
        self,
        *,
        database: Database,
        ring: KeyRing,
        reader: JobReader,
        catalogue: Catalogue,
        publisher: Wakes,
        submitted: Callable[[str], None],
    ) -> None:
        self._database = database
        self._ring = ring
        self._reader = reader
        self._catalogue = catalogue
        self._publisher = publisher
        self._submitted = submitted  # is told the model of each new job
        self._backlogs = jobs.Backlogs()

    def submit(self, tenant_id: UUID, body: dict[str, Any], idempotency_key: str | None) -> Accepted:
        """Queue the job that a body asks for.

        Raises:
            InvalidField, UnknownModel, PromptTooLong: the body is at fault; the field is named.
            IdempotencyKeyReused, IdempotencyKeyInUse, Gone: see docs/api.md.
            QuotaExceeded, DailyTokensExceeded: too many of the tenant's jobs are waiting, or too many tokens
                of its day are used or reserved.
            ModelNotReady: no worker has ever loaded the model.

        """
        ready = self._prepare(tenant_id, body, idempotency_key)
        accepted = self._write(ready) if isinstance(ready, _Ready) else Accepted(ready, replayed=True)
        if not accepted.replayed:
            self._submitted(accepted.job.model)
            if accepted.job.queue.position is not None:  # a held job is nobody's yet
                self._publisher.wake(accepted.job.model)
        return accepted

    def _prepare(
        self, tenant_id: UUID, body: dict[str, Any], idempotency_key: str | None
    ) -> _Ready | responses.Job:
        """Check everything; or return the job that an equal request has made before."""
        with self._database.tenant(tenant_id) as session:
            tenant = session.get_one(Tenant, tenant_id)
            key = self._ring.unwrap(tenant.wrapped_key, tenant_id)
            once = Once(idempotency_key, key.fingerprint(ROUTE + canonical(body))) if idempotency_key else None
            # Looked up before the body is checked: a deadline, say, may have passed since the job was made.
            if once and (row := jobs.made_before(session, tenant_id, once)):
                return self._reader.present(session, row, key)
            wanted = checked(JobRequest, body)
            model = self._catalogue.find(session, wanted.model, wanted.kind)
        submission = drafted(ids.new_id(), tenant_id, key, wanted, model)
        return _Ready(submission, key, once, tenant.quotas)

    def plan(self, tenant_id: UUID, body: dict[str, Any]) -> responses.PlannedBook:
        """Check the request of a book, and return what is planned for it.

        Raises:
            InvalidField: as for a submission; or it is no book.

        """
        wanted = checked(JobRequest, body)
        if wanted.kind != "longform":
            raise InvalidField.one("kind", "Should be longform: only books are planned")
        with self._database.tenant(tenant_id) as session:
            model = self._catalogue.find(session, wanted.model, wanted.kind)
        made = composed(wanted, model.limits, model.tokens.spans, can_write=model.tokens.can_write)
        if made.spec.longform is None:
            raise LookupError("a book without a plan")
        return presenter.planned(model.name, made.spec.longform, made.spec.input.prompt, made.prompt_tokens)

    def _write(self, ready: _Ready) -> Accepted:
        with keys_in_use_are_told(ready.once), self._database.tenant(ready.submission.tenant_id) as session:
            row = jobs.submit(
                session, ready.submission, once=ready.once, quotas=ready.quotas, backlogs=self._backlogs
            )
            shown = self._reader.present(session, row, ready.key)
            return Accepted(shown, replayed=row.id != ready.submission.id)


@contextmanager
def keys_in_use_are_told(once: Once | None) -> Iterator[None]:
    """Around a submission: only a request with the same key, not committed yet, is waited for until a time-out."""
    try:
        yield
    except OperationalError as error:
        if once and isinstance(error.orig, LockNotAvailable):
            raise IdempotencyKeyInUse from error
        raise
