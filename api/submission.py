"""The use case behind POST /v1/jobs: from a parsed body to a queued job, once for each Idempotency-Key."""

import secrets
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from psycopg.errors import LockNotAvailable
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from api import responses
from api.body import canonical
from api.composing import Limits, composed
from api.reading import JobReader
from api.schemas import MAX_SEED, JobRequest
from api.tokenizing import Tokenizers
from api.validation import checked
from quire import fairness, ids, jobs
from quire.crypto import DataKey, KeyRing
from quire.database import Database
from quire.errors import FieldProblem, IdempotencyKeyInUse, ModelNotReady, UnknownModel
from quire.jobs import Once, Submission
from quire.preparation import Spans
from quire.store import Model, Tenant

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
    max_queued: int


class Submissions:
    def __init__(
        self,
        *,
        database: Database,
        ring: KeyRing,
        reader: JobReader,
        tokenizers: Tokenizers,
        publisher: Wakes,
        configured: Collection[str],
        default_model: str,
        submitted: Callable[[str], None],
    ) -> None:
        self._database = database
        self._ring = ring
        self._reader = reader
        self._tokenizers = tokenizers
        self._publisher = publisher
        self._configured = configured
        self._default_model = default_model
        self._submitted = submitted  # is told the model of each new job

    def submit(self, tenant_id: UUID, body: dict[str, Any], idempotency_key: str | None) -> Accepted:
        """Queue the job that a body asks for.

        Raises:
            InvalidField, UnknownModel, PromptTooLong: the body is at fault; the field is named.
            IdempotencyKeyReused, IdempotencyKeyInUse, Gone: see docs/api.md.
            QuotaExceeded: too many of the tenant's jobs are waiting.
            ModelNotReady: no worker has ever loaded the model.

        """
        ready = self._prepare(tenant_id, body, idempotency_key)
        accepted = self._write(ready) if isinstance(ready, _Ready) else Accepted(ready, replayed=True)
        if not accepted.replayed:
            self._submitted(accepted.job.model)
            if accepted.job.blocked_by is None:
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
            model, limits, spans = self._model(session, wanted.model or self._default_model)
        submission = _submission(tenant_id, key, wanted, model, limits, spans)
        return _Ready(submission, key, once, tenant.max_queued)

    def _write(self, ready: _Ready) -> Accepted:
        try:
            with self._database.tenant(ready.submission.tenant_id) as session:
                row = jobs.submit(session, ready.submission, once=ready.once, max_queued=ready.max_queued)
                shown = self._reader.present(session, row, ready.key)
                return Accepted(shown, replayed=row.id != ready.submission.id)
        except OperationalError as error:
            # Only a request with the same key, which has not committed yet, is waited for that long.
            if ready.once and isinstance(error.orig, LockNotAvailable):
                raise IdempotencyKeyInUse from error
            raise

    def _model(self, session: Session, name: str) -> tuple[str, Limits, Spans]:
        columns = select(Model.context_length, Model.vocab_size, Model.tokenizer_digest).where(Model.name == name)
        found = session.execute(columns).first()
        if found is None and name in self._configured:
            raise ModelNotReady(f"No worker has loaded the model {name} yet.")
        if found is None:
            message = "There is no such model; GET /v1/models lists them"
            raise UnknownModel(f"model: {message}", fields=(FieldProblem("model", message),))
        spans = self._tokenizers.of(session, name, found.tokenizer_digest)
        return name, Limits(found.context_length, found.vocab_size), spans


def _submission(
    tenant_id: UUID, key: DataKey, wanted: JobRequest, model: str, limits: Limits, spans: Spans
) -> Submission:
    job_id = ids.new_id()
    made = composed(wanted, limits, spans)
    return Submission(
        id=job_id,
        tenant_id=tenant_id,
        model=model,
        seed=secrets.randbelow(MAX_SEED + 1) if wanted.seed is None else wanted.seed,
        body=key.seal(made.spec.encode(), f"job:{job_id}"),
        prompt_tokens=made.prompt_tokens,
        max_tokens=wanted.n * wanted.max_tokens,
        estimate=fairness.estimate(made.prompt_tokens, wanted.max_tokens, wanted.draws),
        not_before=wanted.not_before,
        deadline=wanted.deadline,
        priority=wanted.priority,
        metadata=wanted.metadata,
        retention_hours=wanted.retention_hours,
    )
