"""The lines of a batch's input file: what each asks for, and which problems are the batch's and which the line's.

A line that cannot be read, or that is no request to the batch's endpoint, refuses the whole batch. One whose body
is wrong is an item that has failed before it began, with the error that the same request would have been told.
"""

from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from api.openai import completing, responding
from api.openai.fields import without_nulls
from api.openai.orders import Find
from api.openai.schemas import CompletionRequest, ResponseRequest
from api.schemas import Request
from quire.asking.drafting import ChosenModel, drafted
from quire.asking.entries import SentItem
from quire.asking.fields import MetadataValue
from quire.asking.items import Owner
from quire.asking.request import JobRequest
from quire.asking.validation import MAX_PROBLEMS, checked
from quire.batches import Item
from quire.errors import BadRequest, FieldProblem, InvalidField, NotFound, QuireError
from quire.jobs import Submission
from quire.spec import ResponseMode
from quire.store import Batch

COMPLETIONS, RESPONSES = "/v1/completions", "/v1/responses"
Endpoint = Literal["/v1/completions", "/v1/responses"]
# What has no meaning where nobody waits.
NOT_HERE = {COMPLETIONS: ("stream", "stream_options", "echo"), RESPONSES: ("stream", "background")}


class Line(Request):
    custom_id: MetadataValue = Field(min_length=1)
    method: Literal["POST"]
    url: str
    body: dict[str, Any]


class BrokenLines(Exception):
    """Some lines cannot be read: the batch is refused."""

    def __init__(self, problems: list[dict[str, Any]]) -> None:
        super().__init__(f"{len(problems)} broken lines")
        self.problems = problems


class Lines:
    """Makes items of lines; knows the models and the custom ids seen so far."""

    def __init__(self, owner: Owner, endpoint: Endpoint, find: Find, *, most: int) -> None:
        self._owner, self._endpoint, self._find, self._most = owner, endpoint, find, most
        self._models: dict[str, ChosenModel] = {}
        self._seen: set[str] = set()

    def items(self, batch: Batch, entries: Iterable[SentItem]) -> Iterator[Item]:
        """Yield an item for each line.

        Raises:
            BrokenLines: with the first problems; the others are only looked for.

        """
        problems: list[dict[str, Any]] = []
        number = -1
        for number, entry in enumerate(entries):
            try:
                line = self._line(number, entry)
            except BadRequest as error:
                problems += [_problem(entry, error, each) for each in error.fields or (None,)]
                if len(problems) >= MAX_PROBLEMS or number >= self._most:
                    break
                continue
            if not problems:
                yield self._item(batch, number, line)
        if number < 0:
            problems.append(
                {"code": "empty_file", "line": None, "message": "The file has no lines.", "param": None}
            )
        if problems:
            raise BrokenLines(problems[:MAX_PROBLEMS])

    def _line(self, number: int, entry: SentItem) -> Line:
        if number >= self._most:
            raise InvalidField.one("input_file_id", f"A batch has at most {self._most:,} lines")
        if entry.value is None:
            raise entry.error or BadRequest
        line = checked(Line, dict(entry.value))
        if line.url != self._endpoint:
            raise InvalidField.one("url", f"The batch is for {self._endpoint}")
        if line.custom_id in self._seen:
            raise InvalidField.one("custom_id", "Another line of this file has the same")
        self._seen.add(line.custom_id)
        return line

    def _item(self, batch: Batch, number: int, line: Line) -> Item:
        try:
            return Item(number, line.custom_id, self._draft(batch.job(number), without_nulls(line.body)))
        except (BadRequest, NotFound) as error:
            param = error.fields[0].field if error.fields else ""
            told = {"code": error.code, "message": error.detail, "param": param, "status": str(int(error.status))}
            return Item(number, line.custom_id, None, told)

    def _draft(self, job_id: UUID, body: dict[str, Any]) -> Submission:
        for name in NOT_HERE[self._endpoint]:
            if body.get(name):
                raise InvalidField.one(name, "Not in a batch")
        mode: ResponseMode | None = None
        if self._endpoint == COMPLETIONS:
            wanted = checked(CompletionRequest, body)
            if len(wanted.prompt) > 1:
                raise InvalidField.one("prompt", "A line of a batch has one")
            model = self._model(wanted.model)
            [asked] = completing.asked(wanted, model)
        else:
            response = checked(ResponseRequest, body)
            model, mode = self._model(response.model), "background"
            [asked] = responding.asked(response, model)
        return self._admitted(job_id, asked, model, mode)

    def _admitted(
        self, job_id: UUID, asked: JobRequest, model: ChosenModel, mode: ResponseMode | None
    ) -> Submission:
        with responding.in_its_words() if mode else nullcontext():
            job = drafted(job_id, self._owner.tenant_id, self._owner.key, asked, model, response=mode)
        most = self._owner.quotas.max_tokens_per_day
        if most is not None and job.reserved > most:
            message = f"It may cost {job.reserved} tokens, more than the tenant's {most} of a whole day"
            raise InvalidField.one("max_tokens", message)
        return job

    def _model(self, name: str) -> ChosenModel:
        if name not in self._models:
            self._models[name] = self._find(self._owner.tenant_id, name)
        return self._models[name]


def _problem(entry: SentItem, error: QuireError, field: FieldProblem | None) -> dict[str, Any]:
    message = field.message if field else error.detail
    return {"code": error.code, "line": entry.line, "message": message, "param": field.field if field else None}
