"""What is told of batches."""

from typing import Literal

from pydantic import Field, RootModel

from api.openai.answers import FileBatch
from api.responses import Failure, JobPiece, Moment, Page, Response, Usage
from quire.store.batch import BatchState
from quire.store.job import State


class BatchCounts(Response):
    """Items by their states, at one moment; they add up to `total`."""

    total: int
    held: int = Field(description="Not in the queue yet.")
    queued: int
    running: int
    succeeded: int
    failed: int
    cancelled: int
    expired: int


class Batch(Response):
    id: str
    object: Literal["batch"] = "batch"
    state: BatchState
    blocked_by: Literal["quota", "paused"] | None = Field(description="Why nothing of it is fed, if so.")
    counts: BatchCounts
    usage: Usage = Field(description="What is billed, of the items that have ended.")
    priority: int
    max_running: int | None
    max_tokens: int | None
    deadline: Moment | None
    retention_hours: int | None
    metadata: dict[str, str]
    parent_id: str | None = Field(description="The batch whose items are run again here.")
    schedule_id: str | None = Field(description="The schedule of which it is an occurrence.")
    created_at: Moment
    finished_at: Moment | None


class BatchInItsForm(RootModel[Batch | FileBatch]):
    """A batch, in the form that it was asked for in."""


class BatchPage(Page):
    data: list[Batch | FileBatch]
    first_id: str | None = Field(description="As clients of OpenAI's read it, which go on behind the last id.")
    last_id: str | None


class BatchResult(Response):
    """One line of the results."""

    index: int = Field(description="The item's place in what was sent, from 0.")
    custom_id: str | None
    job_id: str | None = Field(description="Null: it never was a job.")
    state: State
    seed: int | None
    pieces: list[JobPiece]
    usage: Usage
    error: Failure | None
