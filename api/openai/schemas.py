"""What may be sent in OpenAI's form. What these models cannot do is refused by name, never ignored."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from api.openai.fields import Prompts, ResponseInput
from api.schemas import MAX_INT, Request
from quire.asking.fields import MetadataKey, MetadataValue, Name, OneOrMore, Sequence, wrong
from quire.asking.request import MAX_SEED
from quire.spec import Parameters, models_own

NOT_FOR_COMPLETIONS = {"suffix": "the models here write on from a text, not between two"}
# Of what OpenAI's clients send most, and the models here cannot do.
NOT_FOR_RESPONSES = {
    "instructions": "the models here follow none; they continue the input",
    "previous_response_id": "responses do not continue one another; give the text as input",
    "conversation": "there are no conversations here",
    "prompt": "there are no stored prompts here",
    "reasoning": "the models here do not reason",
}


class StreamOptions(Request):
    include_usage: bool = Field(default=False, description="A last chunk without choices tells the usage.")
    include_obfuscation: bool = Field(default=False, description="Chunks are not padded: true is refused.")

    @model_validator(mode="after")
    def _plain(self) -> Self:
        if self.include_obfuscation:
            raise wrong("include_obfuscation: chunks are not padded here")
        return self


class CompletionRequest(Parameters):
    """POST /v1/completions; null is the same as nothing. Beside OpenAI's fields, those of a job that draw."""

    model: Name
    prompt: Prompts = Field(description="One text or up to 16, each as a string or as token ids; a job each.")
    max_tokens: int = Field(default=16, ge=1, description="New tokens of each choice, at most.")
    stop: Annotated[list[Sequence], OneOrMore] = Field(
        default=[], max_length=4, description="A string or several; each ends the choice before it."
    )
    banned: list[Sequence] = Field(default=[], max_length=100, description="Strings that are never written.")
    echo: bool = Field(default=False, description="Each choice begins with its prompt; not with logprobs.")
    seed: int | None = Field(default=None, ge=0, le=MAX_SEED, description="Drawn if not given.")
    stream: bool = False
    stream_options: StreamOptions | None = None
    suffix: None = Field(default=None, description="Refused: the models write on from a text, not between two.")
    user: MetadataValue | None = Field(default=None, description="Kept as `user` in the job's metadata.")

    @model_validator(mode="before")
    @classmethod
    def _refused(cls, body: Any) -> Any:
        return _without(body, NOT_FOR_COMPLETIONS)

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        if self.echo and self.logprobs is not None:
            raise wrong("echo: does not go with logprobs: the tokens of a prompt have none here")
        if self.stream_options is not None and not self.stream:
            raise wrong("stream_options: goes with stream alone")
        return self


class PlainFormat(Request):
    type: Literal["text"]


class PlainText(Request):
    format: PlainFormat | None = None


class ResponseRequest(Request):
    """POST /v1/responses; null is the same as nothing. Fields of OpenAI's that are not here are refused."""

    model: Name
    input: ResponseInput = Field(description="A text, or a list with one message of the user's: it is continued.")
    background: bool = Field(default=False, description="Answer at once; the response is made meanwhile.")
    stream: bool = False
    store: Literal[True] = Field(default=True, description="All are stored until they are deleted.")
    max_output_tokens: int = Field(default=128, ge=1)
    temperature: float = Field(
        default=1.0, ge=0, le=2, description="Default: the model's, else 1.", json_schema_extra=models_own
    )
    top_p: float = Field(
        default=1.0, gt=0, le=1, description="Default: the model's, else 1.", json_schema_extra=models_own
    )
    seed: int | None = Field(default=None, ge=0, le=MAX_SEED, description="Beside OpenAI's fields.")
    stop: Annotated[list[Sequence], OneOrMore] = Field(default=[], max_length=4, description="As `seed`.")
    truncation: Literal["auto", "disabled"] = Field(
        default="disabled", description="auto cuts the beginning of an input that is too long."
    )
    metadata: dict[MetadataKey, MetadataValue] = Field(default={}, max_length=16)
    text: PlainText | None = Field(default=None, description="Plain text is all there is.")
    tools: list[Any] = Field(default=[], max_length=0, description="There are none.")
    tool_choice: Literal["none", "auto"] = "auto"
    instructions: None = Field(default=None, description="Refused, as are the next four.")
    previous_response_id: None = None
    conversation: None = None
    prompt: None = None
    reasoning: None = None
    parallel_tool_calls: bool = True

    @model_validator(mode="before")
    @classmethod
    def _refused(cls, body: Any) -> Any:
        return _without(body, NOT_FOR_RESPONSES)


class ResponseQuery(Request):
    stream: bool = False
    starting_after: int | None = Field(
        default=None, ge=0, le=MAX_INT, description="With stream: the sequence_number of the last event seen."
    )

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        if self.starting_after is not None and not self.stream:
            raise wrong("starting_after: goes with stream alone")
        return self


class FileForm(Request):
    """What goes with a file in the form that it is sent by."""

    purpose: Literal["batch"]
    anchor: Literal["created_at"] | None = Field(default=None, alias="expires_after[anchor]")
    seconds: int | None = Field(default=None, ge=3_600, le=2_592_000, alias="expires_after[seconds]")

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.anchor is None) != (self.seconds is None):
            raise wrong("seconds: expires_after needs an anchor and seconds, or neither")
        return self

    @property
    def lasts(self) -> timedelta | None:
        return None if self.seconds is None else timedelta(seconds=self.seconds)


class FileQuery(Request):
    after: str | None = Field(default=None, max_length=200, description="The id of the last file seen.")
    limit: int = Field(default=10_000, ge=1, le=10_000)
    order: Literal["asc", "desc"] = Field(default="desc", description="By age.")
    purpose: str | None = Field(default=None, max_length=64)


class OutputExpiry(Request):
    anchor: Literal["created_at"]
    seconds: int = Field(ge=3_600, le=2_592_000, multiple_of=3_600, description="Whole hours.")


class FileBatchRequest(Request):
    """POST /v1/batches with the file of the lines; null is the same as nothing."""

    input_file_id: Annotated[str, Field(max_length=200)]
    endpoint: Literal["/v1/completions", "/v1/responses"]
    completion_window: Literal["24h"]
    metadata: dict[MetadataKey, MetadataValue] = Field(default={}, max_length=16)
    output_expires_after: OutputExpiry | None = Field(
        default=None, description="The batch is deleted so long after its end, with what it has written."
    )

    @property
    def retention_hours(self) -> int | None:
        return self.output_expires_after.seconds // 3_600 if self.output_expires_after else None


def _without(body: Any, refused: Mapping[str, str]) -> Any:
    """Refuse fields that are known, and cannot be honoured."""
    for name, why in refused.items():
        if isinstance(body, dict) and body.get(name) is not None:
            raise wrong(f"{name}: {why}")
    return body
