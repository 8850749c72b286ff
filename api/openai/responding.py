"""Responses: the job that a request asks for, what a job is as a response, and its stream of numbered events.

The events of a response are numbered from 0, and follow from its job's log alone: whoever comes back with the
number of the last one he has seen is told the rest, whichever process answers.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime

from api import responses
from api.events import Event, Moved, Quiet, Written
from api.openai.answers import (
    Incomplete,
    Message,
    OpenAIResponse,
    OutputText,
    ResponseFailure,
    ResponseUsage,
    StreamEvent,
)
from api.openai.schemas import ResponseRequest
from quire import ids
from quire.asking.drafting import ChosenModel
from quire.asking.request import JobRequest
from quire.asking.validation import checked
from quire.errors import BadRequest, FieldProblem
from quire.pieces import CUT
from quire.responses import Status, status_of
from quire.store.job import State

# What a stream ends with. There is no event for a cancelled one: its response tells it.
LAST = {"completed": "response.completed", "failed": "response.failed"}
INCOMPLETE = "response.incomplete"
NAMES = {"prompt": "input", "max_tokens": "max_output_tokens"}  # a job's fields, and a response's
SHARED = {"temperature", "top_p", "seed", "stop", "metadata"}  # what a response and a job call the same


def asked(wanted: ResponseRequest, model: ChosenModel) -> list[JobRequest]:
    """Return the job of a request."""
    body = wanted.model_dump(include=SHARED, exclude_unset=True, exclude_none=True) | {
        "model": model.name,
        "prompt": wanted.input,
        "max_tokens": wanted.max_output_tokens,
    }
    if wanted.truncation == "auto":
        body["truncate"] = "start"
    return [checked(JobRequest, body)]


@contextmanager
def in_its_words() -> Iterator[None]:
    """Have errors blame the fields of a response for those of its job."""
    try:
        yield
    except BadRequest as error:
        if not error.fields:
            raise
        fields = tuple(FieldProblem(NAMES.get(item.field, item.field), item.message) for item in error.fields)
        raise type(error)(f"{fields[0].field}: {fields[0].message}", fields=fields) from None


def response(job: responses.Job, *, background: bool) -> OpenAIResponse:
    """Show a job as a response."""
    cut = any(piece.finish_reason == CUT for piece in job.output.pieces) if job.output else False
    status = status_of(job.state, cut=cut)
    return OpenAIResponse(
        id=_id(job),
        created_at=_seconds(job.created_at),
        completed_at=_seconds(job.finished_at) if job.finished_at and job.state is State.SUCCEEDED else None,
        status=status,
        background=background,
        error=ResponseFailure(code="server_error", message=job.error.message) if job.error else None,
        incomplete_details=Incomplete(reason="max_output_tokens") if status == "incomplete" and cut else None,
        metadata=job.metadata,
        model=job.model,
        output=[_message(job, status, piece.text) for piece in job.output.pieces] if job.output else [],
        max_output_tokens=job.parameters.max_tokens,
        temperature=job.parameters.temperature,
        top_p=job.parameters.top_p,
        truncation="auto" if job.parameters.truncate == "start" else "disabled",
        usage=_usage(job) if job.state.is_terminal else None,
    )


class Telling:
    """Tells the events of one response, from the number behind `after` on.

    `look`: reads the job anew.
    """

    def __init__(self, look: Callable[[], responses.Job], *, background: bool, after: int = -1) -> None:
        self._look = look
        self._background = background
        self._after = after
        self._next = 0
        self._is_running = False
        self._is_writing = False

    def events(self, told: Iterable[Event]) -> Iterator[StreamEvent | None]:
        """Yield what is told of a job's events, from its beginning on; None while nothing happens."""
        job = None
        for event in told:
            if job is None:  # not before: the first event may be that it was queued
                job = self._look()
                yield None  # and the reader knows that he is heard, also if he has seen all there is
                yield from self._tell("response.created", response=self._early(job, "queued"))
                yield from self._tell("response.queued", response=self._early(job, "queued"))
            if isinstance(event, Quiet):
                yield None
            if isinstance(event, Moved) and event.state is State.RUNNING:
                yield from self._runs(job)
            if isinstance(event, Written) and (text := "".join(piece.text for piece in event.pieces)):
                yield from self._writes(job)
                yield from self._tell("response.output_text.delta", delta=text, logprobs=[], **_place(job))
            if isinstance(event, Moved) and event.state.is_terminal:
                yield from self._ends(self._look())

    def _runs(self, job: responses.Job) -> Iterator[StreamEvent]:
        if not self._is_running:
            self._is_running = True
            yield from self._tell("response.in_progress", response=self._early(job, "in_progress"))

    def _writes(self, job: responses.Job) -> Iterator[StreamEvent]:
        yield from self._runs(job)
        if not self._is_writing:
            self._is_writing = True
            empty = Message(id=_message_id(job), status="in_progress", content=[])
            yield from self._tell("response.output_item.added", item=empty, output_index=0)
            yield from self._tell("response.content_part.added", part=OutputText(text=""), **_place(job))

    def _ends(self, job: responses.Job) -> Iterator[StreamEvent]:
        if job.started_at is not None:
            yield from self._runs(job)
        if job.state is State.SUCCEEDED:
            yield from self._writes(job)
        whole = response(job, background=self._background)
        if self._is_writing:
            text = "".join(piece.text for piece in job.output.pieces) if job.output else ""
            yield from self._tell("response.output_text.done", text=text, logprobs=[], **_place(job))
            yield from self._tell("response.content_part.done", part=OutputText(text=text), **_place(job))
            item = _message(job, whole.status, text)
            yield from self._tell("response.output_item.done", item=item, output_index=0)
        yield from self._tell(LAST.get(whole.status, INCOMPLETE), response=whole)

    def _early(self, job: responses.Job, status: Status) -> OpenAIResponse:
        """Show a response as it was before it wrote anything."""
        ended = ("usage", "error", "incomplete_details", "completed_at")
        nothing: dict[str, object] = {"status": status, "output": [], **dict.fromkeys(ended)}
        return response(job, background=self._background).model_copy(update=nothing)

    def _tell(self, kind: str, **fields: object) -> Iterator[StreamEvent]:
        number, self._next = self._next, self._next + 1
        if number > self._after:
            yield StreamEvent.model_validate({"type": kind, "sequence_number": number, **fields})


def _id(job: responses.Job) -> str:
    return f"{ids.RESPONSE}_{job.id.removeprefix(ids.JOB + '_')}"


def _message_id(job: responses.Job) -> str:
    return f"msg_{job.id.removeprefix(ids.JOB + '_')}"


def _place(job: responses.Job) -> dict[str, object]:
    return {"item_id": _message_id(job), "output_index": 0, "content_index": 0}


def _message(job: responses.Job, status: Status, text: str) -> Message:
    known = {"completed": "completed", "in_progress": "in_progress", "queued": "in_progress"}
    return Message.model_validate({
        "id": _message_id(job),
        "status": known.get(status, "incomplete"),
        "content": [OutputText(text=text)],
    })  # fmt: skip


def _usage(job: responses.Job) -> ResponseUsage:
    usage = job.usage
    return ResponseUsage(
        input_tokens=usage.prompt_tokens, output_tokens=usage.completion_tokens, total_tokens=usage.total_tokens
    )


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())
