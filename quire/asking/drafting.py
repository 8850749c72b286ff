"""From a checked request to a submission: its model found, its text prepared, its body sealed."""

import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from quire.asking.books import Earlier
from quire.asking.composing import Limits, composed
from quire.asking.request import MAX_SEED, JobRequest, Need
from quire.asking.tokenizing import Counting, Tokenizers
from quire.crypto import DataKey
from quire.errors import FieldProblem, InvalidField, ModelNotReady, UnknownModel
from quire.forms import knows
from quire.jobs import Submission
from quire.quotas import Quotas
from quire.spec import ResponseMode
from quire.store import Model
from quire.store.job import Kind

_MADE_BY = {"longform": "text"}  # the kind of the models that do a kind of jobs, if it is another


@dataclass(frozen=True)
class ChosenModel:
    name: str
    limits: Limits
    tokens: Counting
    kind: str  # of the jobs that it does
    renders: Collection[str]  # artifacts that its workers can make
    sampling: Mapping[str, float]  # where a request does not say


class Catalogue:
    """The models that jobs may name."""

    def __init__(self, tokenizers: Tokenizers, *, configured: Collection[str], default_model: str) -> None:
        self._tokenizers = tokenizers
        self._configured = configured
        self._default_model = default_model

    def find(self, session: Session, need: Need) -> ChosenModel:
        """Return the model that a job needs.

        Raises:
            UnknownModel: there is none of that name, or it does jobs of another kind.
            ModelNotReady: no worker has ever loaded it, or one of this kind.

        """
        name, kind = need.model or self._default(session, need), need.kind
        columns = select(
            Model.context_length,
            Model.vocab_size,
            Model.tokenizer_digest,
            Model.kind,
            Model.renders,
            Model.sampling,
        ).where(Model.name == name)
        found = session.execute(columns).first()
        if found is None and name in self._configured:
            raise ModelNotReady(f"No worker has loaded the model {name} yet.")
        if found is None:
            raise _unknown("There is no such model; GET /v1/models lists them")
        if found.kind != _MADE_BY.get(kind, kind):
            raise _unknown(f"{name} is for jobs of kind {found.kind}, not {kind}")
        tokens = self._tokenizers.of(session, name, found.tokenizer_digest)
        limits = Limits(found.context_length, found.vocab_size)
        return ChosenModel(name, limits, tokens, found.kind, found.renders, found.sampling)

    def _default(self, session: Session, need: Need) -> str:
        """Return the first of the configured models for a kind of jobs that knows the tags needed."""
        kind = _MADE_BY.get(need.kind, need.kind)
        if kind == "text" and need.tags is None:
            return self._default_model
        of_kind = session.execute(select(Model.name, Model.tokenizer_digest).where(Model.kind == kind))
        served = {row.name: row.tokenizer_digest for row in of_kind}
        for name in (name for name in self._configured if name in served):
            if need.tags is None or knows(self._tokenizers.of(session, name, served[name]).spans, need.tags):
                return name
        if kind == "text":
            return self._default_model
        raise ModelNotReady(f"No worker has loaded a model for jobs of kind {kind} yet.")


def _unknown(message: str) -> UnknownModel:
    return UnknownModel(f"model: {message}", fields=(FieldProblem("model", message),))


def drafted(
    job_id: UUID,
    tenant_id: UUID,
    key: DataKey,
    wanted: JobRequest,
    model: ChosenModel,
    earlier: Earlier | None = None,
    *,
    response: ResponseMode | None = None,
) -> Submission:
    """Compose the prompt and seal the job.

    Raises:
        InvalidField, PromptTooLong: see `composed`.

    """
    made = composed(
        wanted.drawn_as(model.sampling),
        model.limits,
        model.tokens.spans,
        can_write=model.tokens.can_write,
        earlier=earlier,
    )
    spec = made.spec if response is None else made.spec.model_copy(update={"response": response})
    parameters = spec.parameters
    for index, artifact in enumerate(wanted.artifacts or ()):
        if artifact not in model.renders:
            message = f"The workers of {model.name} cannot make {artifact}: see docs/operations.md"
            raise InvalidField.one(f"artifacts.{index}", message)
    return Submission(
        id=job_id,
        tenant_id=tenant_id,
        model=model.name,
        seed=secrets.randbelow(MAX_SEED + 1) if wanted.seed is None else wanted.seed,
        body=key.seal(spec.encode(), f"job:{job_id}"),
        prompt_tokens=made.prompt_tokens,
        max_tokens=parameters.n * parameters.max_tokens,
        estimate=made.estimate,
        not_before=wanted.not_before,
        deadline=wanted.deadline,
        priority=wanted.priority,
        metadata=wanted.metadata,
        retention_hours=wanted.retention_hours,
        kind=Kind(wanted.kind),
        background=response == "background",
    )


def check_fits_a_day(drafted: Submission, quotas: Quotas) -> None:
    """See that a book can run: it may be longer than its tenant's day, but what it reserves at once may not be.

    Raises:
        InvalidField: its prompt and first slice are more than a day has.

    """
    limit = quotas.max_tokens_per_day
    if drafted.kind is Kind.LONGFORM and limit is not None and drafted.reserved > limit:
        message = f"A window reserves {drafted.reserved} tokens with its prompt; the tenant has {limit} a day"
        raise InvalidField.one("longform.window", message)
