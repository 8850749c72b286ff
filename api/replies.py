"""Answers, as the routes give them."""

from flask import Request, Response
from pydantic import BaseModel

from api import responses
from api.conditional import etag, retry_after, still_holds


def shown(value: BaseModel, status: int = 200) -> Response:
    return Response(value.model_dump_json(), status, mimetype="application/json")


def job(value: responses.Job, status: int = 200, *, waited: float | None = None) -> Response:
    """Answer with a job, its tag, and when to look again if it is not over."""
    return _about(shown(value, status), value, etag(value), waited)


def job_if_changed(request: Request, value: responses.Job, *, waited: float | None = None) -> Response:
    """Answer with a job, or with 304 if the client has it as it is."""
    tag = etag(value)
    unchanged = still_holds(request, tag)
    return _about(Response(status=304) if unchanged else shown(value), value, tag, waited)


def _about(answer: Response, value: responses.Job, tag: str, waited: float | None) -> Response:
    answer.set_etag(tag, weak=True)
    answer.headers["Cache-Control"] = "private, no-cache"
    if (seconds := retry_after(value)) is not None:
        answer.headers["Retry-After"] = str(seconds)
    if waited is not None:
        answer.headers["Preference-Applied"] = f"wait={waited:g}"
    return answer
