"""What is sent back in OpenAI's form."""

from typing import Any, Literal

from pydantic import Field

from api.responses import Response
from quire.responses import Status


class Logprobs(Response):
    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]
    text_offset: list[int] = Field(description="Where each token begins in the tokens' text, in characters.")


class Choice(Response):
    index: int = Field(description="The number of its prompt, times n, and the number of the piece.")
    text: str
    logprobs: Logprobs | None
    finish_reason: Literal["stop", "length"] | None


class CompletionUsage(Response):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Completion(Response):
    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int = Field(description="Seconds since 1970.")
    model: str
    choices: list[Choice]
    usage: CompletionUsage | None
    system_fingerprint: str | None = Field(description="The numerics of the worker; null in chunks.")


# ---- responses -------------------------------------------------------------------------------------------


class OutputText(Response):
    type: Literal["output_text"] = "output_text"
    text: str
    annotations: list[Any] = Field(default=[], max_length=0)


class Message(Response):
    id: str
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"
    status: Literal["in_progress", "completed", "incomplete"]
    content: list[OutputText]


class ResponseFailure(Response):
    code: str
    message: str


class Incomplete(Response):
    reason: Literal["max_output_tokens"]


class InputDetails(Response):
    """Nothing is billed otherwise for having been computed before."""

    cached_tokens: int = 0
    cache_write_tokens: int = 0


class OutputDetails(Response):
    """The models do not reason."""

    reasoning_tokens: int = 0


class ResponseUsage(Response):
    input_tokens: int
    input_tokens_details: InputDetails = InputDetails()
    output_tokens: int
    output_tokens_details: OutputDetails = OutputDetails()
    total_tokens: int


class OpenAIResponse(Response):
    id: str
    object: Literal["response"] = "response"
    created_at: int = Field(description="Seconds since 1970.")
    completed_at: int | None
    status: Status
    background: bool
    error: ResponseFailure | None
    incomplete_details: Incomplete | None
    metadata: dict[str, str]
    model: str
    output: list[Message]
    max_output_tokens: int
    temperature: float
    top_p: float
    truncation: Literal["auto", "disabled"]
    parallel_tool_calls: bool = Field(default=True, description="There are no tools.")
    tool_choice: Literal["auto"] = "auto"
    tools: list[Any] = Field(default=[], max_length=0)
    usage: ResponseUsage | None


class DeletedResponse(Response):
    id: str
    object: Literal["response"] = "response"
    deleted: Literal[True] = True


class StreamEvent(Response):
    """An event of a response's stream; its number says how many have come before it."""

    type: str
    sequence_number: int
    response: OpenAIResponse | None = None
    item_id: str | None = None
    output_index: int | None = None
    content_index: int | None = None
    item: Message | None = None
    part: OutputText | None = None
    delta: str | None = None
    text: str | None = None
    logprobs: list[Any] | None = None


# ---- files -----------------------------------------------------------------------------------------------


class File(Response):
    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int = Field(description="Seconds since 1970.")
    expires_at: int | None
    filename: str
    purpose: str
    status: Literal["processed"] = "processed"


class FileList(Response):
    object: Literal["list"] = "list"
    data: list[File]
    first_id: str | None
    last_id: str | None
    has_more: bool


class DeletedFile(Response):
    id: str
    object: Literal["file"] = "file"
    deleted: Literal[True] = True


# ---- batches ---------------------------------------------------------------------------------------------


class LineError(Response):
    code: str
    line: int | None
    message: str
    param: str | None


class BatchErrors(Response):
    object: Literal["list"] = "list"
    data: list[LineError]


class RequestCounts(Response):
    total: int
    completed: int
    failed: int


class FileBatch(Response):
    """A batch that was asked for in OpenAI's form."""

    id: str
    object: Literal["batch"] = "batch"
    endpoint: str
    input_file_id: str
    completion_window: Literal["24h"] = "24h"
    status: Literal["validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelled"]
    errors: BatchErrors | None
    output_file_id: str | None
    error_file_id: str | None
    request_counts: RequestCounts
    metadata: dict[str, str]
    created_at: int = Field(description="Seconds since 1970, as all times here.")
    in_progress_at: int | None
    expires_at: int | None
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelled_at: int | None
    usage: ResponseUsage
