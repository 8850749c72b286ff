"""Server-Sent Events as OpenAI's clients read them: each a line of data, and an error as one more of them."""

import logging
from collections.abc import Generator

from flask import Request, Response
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError

from api import errors, streaming
from api.openai.errors import ClientLeft
from quire.errors import QuireError, Unavailable

log = logging.getLogger(__name__)

COMMENT = ":\n\n"
Frames = Generator[str]


def data(value: BaseModel) -> str:
    return f"data: {value.model_dump_json()}\n\n"


def event(name: str, value: BaseModel) -> str:
    return f"event: {name}\ndata: {value.model_dump_json(exclude_none=True)}\n\n"


def streamed(request: Request, frames: Frames) -> Response:
    """Answer with frames, the first of which is made now, while an error still has a status of its own."""
    first = next(frames)
    streaming.drop_if_slow(request)
    told = _errors_told(first, frames, request.path)
    answer = Response(told, mimetype=streaming.MEDIA)
    answer.call_on_close(frames.close)
    answer.headers["X-Accel-Buffering"] = "no"
    return answer


def _errors_told(first: str, frames: Frames, path: str) -> Frames:
    try:
        yield first
        yield from frames
    except ClientLeft:
        log.info("client left", extra={"action": "client_left", "path": path})
    except (QuireError, SQLAlchemyError) as error:
        log.info("stream broken off", extra={"action": "stream_broken", "error": str(error)})
        told = error if isinstance(error, QuireError) else Unavailable()
        yield f"data: {errors.body(told, path)}\n\n"
