"""What a batch may ask for."""

from datetime import UTC, datetime
from typing import Any, Literal, Self

from pydantic import Field, RootModel, model_validator

from api.openai.schemas import FileBatchRequest
from api.schemas import MAX_INT, PageQuery, Request
from quire.asking.fields import MetadataKey, MetadataValue, Moment, wrong
from quire.asking.request import MAX_SEED
from quire.settings import MOST_ITEMS
from quire.store.batch import BatchState

PRIORITY = -10  # so that a tenant's single jobs do not stand behind its own batches


class BatchOptions(Request):
    """What holds for a batch as a whole."""

    template: dict[str, Any] | None = Field(
        default=None, description="A job with placeholders, as {{title}}; each row makes an item of it."
    )
    priority: int = Field(
        default=PRIORITY, ge=-100, le=100, description="Of its jobs, inside your own queue; single jobs have 0."
    )
    max_running: int | None = Field(
        default=None, ge=1, le=MAX_INT, description="Jobs of it at once; default: the server's window."
    )
    max_tokens: int | None = Field(
        default=None, ge=1, le=MAX_SEED, description="That it may be billed; what goes beyond is not run."
    )
    deadline: Moment | None = Field(default=None, description="What is not finished by then expires.")
    retention_hours: int | None = Field(
        default=None, ge=1, le=87_600, description="Deleted so long after its end, with its jobs."
    )
    metadata: dict[MetadataKey, MetadataValue] = Field(
        default={}, max_length=16, description="Yours; not encrypted."
    )

    @model_validator(mode="after")
    def _ahead(self) -> Self:
        if self.deadline is not None and self.deadline <= datetime.now(UTC):
            raise wrong("deadline: should be in the future")
        return self


class BatchRequest(BatchOptions):
    """A batch with its items, or with a template and rows; large ones are sent as files."""

    items: list[dict[str, Any]] | None = Field(
        default=None,
        min_length=1,
        max_length=MOST_ITEMS,
        description="Jobs, each with a custom_id if it is to have one.",
    )
    rows: list[dict[str, Any]] | None = Field(
        default=None, min_length=1, max_length=MOST_ITEMS, description="Variables for the template, an item a row."
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.items is None) == (self.rows is None):
            raise wrong("items: exactly one of items and rows is required")
        if (self.rows is None) != (self.template is None):
            raise wrong("template: goes with rows, and rows with a template")
        return self


class RetryRequest(Request):
    """Which items of a batch that is over are run again."""

    states: list[Literal["failed", "expired", "cancelled"]] = Field(
        default=["failed", "expired"], min_length=1, max_length=3
    )


class AnyBatchRequest(RootModel[BatchRequest | FileBatchRequest]):
    """With items or rows, or with a file of OpenAI's form."""


class BatchQuery(PageQuery):
    state: list[BatchState] = Field(default=[], description="Any of these; repeat it for several.")


class ResultsQuery(Request):
    format: Literal["jsonl", "csv"] = "jsonl"
    limit: int | None = Field(default=None, ge=1, le=1000, description="Items; default: all that have ended.")
    after: str | None = Field(default=None, max_length=100, description="The Next-Cursor of the answer before.")
