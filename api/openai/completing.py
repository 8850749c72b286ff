"""Completions: the jobs that a request asks for, and the answers that are made of them."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from uuid import UUID

from api import presenter, responses
from api.events import Event, Moved, Written
from api.openai.answers import Choice, Completion, CompletionUsage, Logprobs
from api.openai.errors import JobCancelled, JobFailed
from api.openai.fields import Prompt
from api.openai.schemas import CompletionRequest
from quire.asking.drafting import ChosenModel
from quire.asking.request import JobRequest
from quire.asking.validation import checked
from quire.errors import InvalidField
from quire.preparation import prepare
from quire.spec import Parameters
from quire.store.job import State

SHARED = {*Parameters.model_fields, "seed"}  # what a completion and a job call the same


def asked(wanted: CompletionRequest, model: ChosenModel) -> list[JobRequest]:
    """Return the job of each prompt."""
    shared = wanted.model_dump(include=SHARED, exclude_unset=True) | {"max_tokens": wanted.max_tokens}
    metadata = {} if wanted.user is None else {"user": wanted.user}
    return [
        checked(JobRequest, shared | {"model": model.name, "prompt": text_of(prompt, model), "metadata": metadata})
        for prompt in wanted.prompt
    ]


def text_of(prompt: Prompt, model: ChosenModel) -> str:
    """Return the text of a prompt.

    Raises:
        InvalidField: it is given as tokens that are not those the model would see in any text.

    """
    if isinstance(prompt, str):
        return prompt
    text = model.tokens.text_of(prompt)
    if text is None or prepare(text).changes:
        raise InvalidField.one("prompt", f"These are not the tokens that {model.name} makes of any text")
    return text


def ended(jobs: Iterable[responses.Job]) -> None:
    """Check that jobs which are over have been done.

    Raises:
        JobFailed, JobCancelled: one has not.

    """
    for job in jobs:
        refuse(job.state, job.error.code if job.error else "", job.error.message if job.error else "")


def refuse(state: State, code: str, message: str) -> None:
    if state is State.FAILED:
        raise JobFailed(code, message)
    if state in {State.CANCELLED, State.EXPIRED}:
        raise JobCancelled


class Writing:
    """Writes one completion, whole or in chunks. `first`: the first of its jobs; `n`: pieces of each."""

    def __init__(self, first: UUID, model: str, *, n: int, echo: bool, created: int) -> None:
        self._id = f"cmpl-{first.hex}"
        self._model = model
        self._n = n
        self._echo = echo
        self._created = created
        self._offsets: dict[int, int] = {}  # by choice: characters of the tokens that were told

    def whole(self, jobs: Sequence[responses.Job]) -> Completion:
        choices = []
        for number, job in enumerate(jobs):
            for piece in job.output.pieces if job.output else ():
                echoed = job.input.prompt if self._echo else ""
                choices.append(self._choice(number, piece, echoed))
        return self._completion(jobs[0].model, choices, usage_of(jobs), jobs[0].numerics)

    def chunks(self, number: int, event: Event) -> Iterator[Completion]:
        """Yield what is told of an event of a job."""
        if isinstance(event, Moved):
            error = event.error or {}
            refuse(event.state, error.get("code", ""), error.get("message", ""))
        if isinstance(event, Written):
            told = [presenter.piece(piece) for piece in event.pieces]
            choices = [
                self._choice(number, piece)
                for piece in told
                if piece.text or piece.logprobs is not None or piece.finish_reason
            ]
            if choices:
                yield self._completion(self._model, choices)

    def echoes(self, jobs: Sequence[responses.Job]) -> Completion:
        """Return the chunk with which all choices begin that repeat their prompts."""
        choices = [
            Choice(index=number * self._n + piece, text=job.input.prompt, logprobs=None, finish_reason=None)
            for number, job in enumerate(jobs)
            for piece in range(self._n)
        ]
        return self._completion(self._model, choices)

    def last(self, jobs: Sequence[responses.Job]) -> Completion:
        """Return the chunk that tells the usage."""
        return self._completion(self._model, [], usage_of(jobs))

    def _completion(
        self, model: str, choices: list[Choice], usage: CompletionUsage | None = None, numerics: str | None = None
    ) -> Completion:
        return Completion(
            id=self._id,
            created=self._created,
            model=model,
            choices=choices,
            usage=usage,
            system_fingerprint=numerics,
        )

    def _choice(self, number: int, piece: responses.JobPiece, echoed: str = "") -> Choice:
        index = number * self._n + piece.index
        return Choice(
            index=index,
            text=echoed + piece.text,
            logprobs=self._logprobs(index, piece.logprobs) if piece.logprobs else None,
            finish_reason=piece.finish_reason,  # a job's are the same two
        )

    def _logprobs(self, index: int, told: responses.PieceLogprobs) -> Logprobs:
        *offsets, end = accumulate((len(token) for token in told.tokens), initial=self._offsets.get(index, 0))
        self._offsets[index] = end
        return Logprobs(**dict(told), text_offset=offsets)


def usage_of(jobs: Iterable[responses.Job]) -> CompletionUsage:
    usages = [job.usage for job in jobs]
    prompt, completion = sum(use.prompt_tokens for use in usages), sum(use.completion_tokens for use in usages)
    return CompletionUsage(prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion)
