"""What a job asks for, as the API checks it and the worker reads it back from the job's sealed body."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic.config import JsonDict

from quire.longform import Plan
from quire.rules import Rules

Form = Literal["story", "poem", "article", "verse", "五绝", "七绝", "五律", "七律", "词", "曲"]
ResponseMode = Literal["foreground", "background"]
ArtifactKind = Literal["abc", "midi", "wav", "svg"]
Phrase = Annotated[str, StringConstraints(min_length=1, max_length=200)]
TokenId = Annotated[str, StringConstraints(pattern=r"^(0|[1-9][0-9]{0,8})$")]
Bias = Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)]


def models_own(schema: JsonDict) -> None:
    """Name no default in a schema: a client that sent it would switch off what the model says."""
    schema.pop("default", None)


class Parameters(BaseModel):
    """How tokens are drawn, and how many. Penalties as in the OpenAI reference, filters as in transformers.

    In a request the model's own values come before some of the defaults: see `JobRequest.drawn_as`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    n: int = Field(default=1, ge=1, le=16, description="Pieces.")
    best_of: int | None = Field(
        default=None, ge=1, le=16, description="Draws, of which the n most probable are kept; default n."
    )
    max_tokens: int = Field(default=128, ge=1, description="New tokens of each piece, at most.")
    min_tokens: int = Field(default=0, ge=0, description="No stop before.")
    temperature: float = Field(
        default=1.0,
        ge=0,
        le=2,
        description="0 is greedy, as is any below 0.001. Default: the model's, else 1.",
        json_schema_extra=models_own,
    )
    top_k: int = Field(
        default=0,
        ge=0,
        le=1000,
        description="0 is off. Default: the model's, else 0.",
        json_schema_extra=models_own,
    )
    top_p: float = Field(
        default=1.0, gt=0, le=1, description="Default: the model's, else 1.", json_schema_extra=models_own
    )
    min_p: float = Field(
        default=0.0, ge=0, le=1, description="Default: the model's, else 0.", json_schema_extra=models_own
    )
    repetition_penalty: float = Field(
        default=1.0,
        ge=0.01,
        le=10,
        description="Over prompt and piece. Default: the model's, else 1.",
        json_schema_extra=models_own,
    )
    presence_penalty: float = Field(default=0.0, ge=-2, le=2, description="Over the piece.")
    frequency_penalty: float = Field(default=0.0, ge=-2, le=2, description="Over the piece.")
    logit_bias: dict[TokenId, Bias] = Field(default={}, max_length=300, description="Token id to bias.")
    stop: list[Phrase] = Field(default=[], max_length=8, description="Ends the piece before the string.")
    banned: list[Phrase] = Field(default=[], max_length=100, description="Strings that are never written.")
    logprobs: int | None = Field(default=None, ge=0, le=5, description="Alternatives shown for each token.")

    @model_validator(mode="after")
    def _together(self) -> "Parameters":
        if self.best_of is not None and self.best_of < self.n:
            raise ValueError("best_of must be at least n")
        if self.min_tokens > self.max_tokens:
            raise ValueError("min_tokens must not be above max_tokens")
        return self

    @property
    def draws(self) -> int:
        """Sequences the engine runs: best_of, which is n unless it was given."""
        return self.best_of or self.n


class Change(BaseModel):
    """Something that preparation did to the input, and how often."""

    model_config = ConfigDict(frozen=True)

    what: Literal["normalised", "line_endings", "control_characters", "broken_surrogates", "truncated_tokens"]
    count: int


class Input(BaseModel):
    """The text the model continues, and where it came from."""

    model_config = ConfigDict(frozen=True)

    form: Form | None = None
    title: str | None = None
    theme: str | None = None
    style: str | None = None
    rules: Rules | None = None
    prompt: str
    truncate: Literal["start", "end"] | None = None
    changes: list[Change] = []


class Music(BaseModel):
    """The tune that is asked for, with what was left open decided."""

    model_config = ConfigDict(frozen=True)

    style: str
    meter: str
    key: str
    tempo: int = Field(description="Pulses a minute: dotted quarters in 6/8, halves in 2/2.")
    bars: int
    accidentals: bool
    opening: str | None = Field(description="In ABC, as the tune begins with it.")
    instrument: str
    artifacts: list[ArtifactKind]


class Spec(BaseModel):
    """The whole of a job; `music` for one that makes tunes, `longform` for one that writes a book."""

    model_config = ConfigDict(frozen=True)

    input: Input
    parameters: Parameters
    music: Music | None = None
    longform: Plan | None = None
    response: ResponseMode | None = None  # of a job that is one of OpenAI's responses
    continues: str | None = None  # the book that this one goes on with, as its id is shown
    before: tuple[int, ...] = ()  # its last tokens

    def encode(self) -> bytes:
        return self.model_dump_json().encode()

    @classmethod
    def decode(cls, data: bytes) -> "Spec":
        return cls.model_validate_json(data)
