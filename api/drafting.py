"""From a checked request to a submission: its model found, its text prepared, its body sealed."""

import secrets
from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.composing import Limits, composed
from api.schemas import MAX_SEED, JobRequest
from api.tokenizing import Counting, Tokenizers
from quire import fairness
from quire.crypto import DataKey
from quire.errors import FieldProblem, ModelNotReady, UnknownModel
from quire.jobs import Submission
from quire.store import Model


@dataclass(frozen=True)
class ChosenModel:
    name: str
    limits: Limits
    tokens: Counting


class Catalogue:
    """The models that jobs may name."""

    def __init__(self, tokenizers: Tokenizers, *, configured: Collection[str], default_model: str) -> None:
        self._tokenizers = tokenizers
        self._configured = configured
        self._default_model = default_model

    def find(self, session: Session, wanted: str | None) -> ChosenModel:
        """Return the model of a name, or the default.

        Raises:
            UnknownModel: there is none.
            ModelNotReady: no worker has ever loaded it.

        """
        name = wanted or self._default_model
        columns = select(Model.context_length, Model.vocab_size, Model.tokenizer_digest).where(Model.name == name)
        found = session.execute(columns).first()
        if found is None and name in self._configured:
            raise ModelNotReady(f"No worker has loaded the model {name} yet.")
        if found is None:
            message = "There is no such model; GET /v1/models lists them"
            raise UnknownModel(f"model: {message}", fields=(FieldProblem("model", message),))
        tokens = self._tokenizers.of(session, name, found.tokenizer_digest)
        return ChosenModel(name, Limits(found.context_length, found.vocab_size), tokens)


def drafted(job_id: UUID, tenant_id: UUID, key: DataKey, wanted: JobRequest, model: ChosenModel) -> Submission:
    """Compose the prompt and seal the job.

    Raises:
        InvalidField, PromptTooLong: see `composed`.

    """
    made = composed(wanted, model.limits, model.tokens.spans, can_write=model.tokens.can_write)
    return Submission(
        id=job_id,
        tenant_id=tenant_id,
        model=model.name,
        seed=secrets.randbelow(MAX_SEED + 1) if wanted.seed is None else wanted.seed,
        body=key.seal(made.spec.encode(), f"job:{job_id}"),
        prompt_tokens=made.prompt_tokens,
        max_tokens=wanted.n * made.max_tokens,
        estimate=fairness.estimate(made.prompt_tokens, made.max_tokens, wanted.draws),
        not_before=wanted.not_before,
        deadline=wanted.deadline,
        priority=wanted.priority,
        metadata=wanted.metadata,
        retention_hours=wanted.retention_hours,
    )
