"""What an error is told as: one body for RFC 9457 and for OpenAI's clients."""

from typing import Literal

from pydantic import Field

from api.responses import Response


class WrongField(Response):
    field: str
    message: str
    line: int | None = Field(default=None, description="In a file that was sent, from 1.")


class OpenAIError(Response):
    message: str
    type: str
    param: str | None
    code: str


class Problem(Response):
    """RFC 9457, with an `error` member in OpenAI's form."""

    type: Literal["about:blank"] = "about:blank"
    title: str
    status: int
    code: str
    detail: str
    instance: str
    fields: list[WrongField]
    error: OpenAIError
