"""The OpenAPI 3.1 document, made from the table of operations and the models of what is sent and answered."""

import re
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from api import problems
from api.operations import OPERATIONS, Answer, Operation
from quire import __version__

Json = dict[str, Any]

DESCRIPTION = (
    "A distributed generation job system for creative work. Every error is `application/problem+json` (RFC 9457) "
    "with an `error` member in OpenAI's form, and every answer carries `X-Request-Id`."
)
KEYED_ERRORS = (401, 403, 429, 503)
HEADERS = {
    "Accept-Ranges": "`bytes`.",
    "Content-Disposition": "An attachment, with its name.",
    "Content-Range": "Which bytes these are, and of how many.",
    "ETag": "Weak for a job, changes with everything but `timings`; strong for a file, its SHA-256.",
    "Idempotency-Key": "1 to 255 visible ASCII characters; the same key and body make no second job.",
    "Idempotent-Replayed": "`true` where an earlier request with this key made the job.",
    "If-Range": "The ETag of what you have a part of: of anything else the whole is sent.",
    "Range": "`bytes=0-1023`, one range.",
    "If-None-Match": "The ETag of what you have: answers 304 while it holds, and waits for any change.",
    "Last-Event-ID": "In place of `after`, as browsers send it by themselves.",
    "Location": "Where it is.",
    "Next-Cursor": "`after` of the request for what follows.",
    "Prefer": "`wait=N`, 1 to 60 seconds: hold the answer back until the job is over, or end the events.",
    "Preference-Applied": "`wait=N` where the answer was held back as asked.",
    "Retry-After": "Seconds after which it is worth coming back.",
}

_MEDIA: Mapping[str, Json] = {
    "application/json": {"type": "object"},
    "text/event-stream": {  # of each event
        "type": "object",
        "properties": {
            "event": {"enum": ["state", "progress", "text", "truncate"]},
            "id": {"type": "string", "pattern": "^[0-9]+:[0-9]+$"},
            "data": {"type": "string", "contentMediaType": "application/json"},
        },
    },
}
# Of each event of an answer that is sent as it is made.
_STREAMED: Json = {"type": "object", "properties": {"data": {"type": "string"}}}


def document() -> Json:
    """Build the document."""
    schemas, reference = _schemas(OPERATIONS)
    paths: Json = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, schemas, reference)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Quire", "version": __version__, "description": DESCRIPTION},
        "paths": paths,
        "components": {
            "schemas": {name: schema for name, schema in schemas.items() if not name.endswith("Query")},
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "A tenant's API key: `qk_…`."},
                "operator": {"type": "http", "scheme": "bearer", "description": "The operator's token."},
            },
        },
    }


def _schemas(operations: Iterable[Operation]) -> tuple[Json, dict[type[BaseModel], Json]]:
    """Return all schemas by name, and a reference to each model's."""
    modes: dict[type[BaseModel], JsonSchemaMode] = {problems.Problem: "serialization"}
    for operation in operations:
        modes |= {model: "validation" for model in operation.takes if model}
        modes |= {answer.model: "serialization" for answer in operation.answers.values() if answer.model}
    references, definitions = models_json_schema(
        list(modes.items()), ref_template="#/components/schemas/{model}", title=None
    )
    return definitions["$defs"], {model: references[model, mode] for model, mode in modes.items()}


def _operation(operation: Operation, schemas: Json, reference: dict[type[BaseModel], Json]) -> Json:
    described: Json = {
        "summary": operation.summary,
        "operationId": _operation_id(operation),
        "tags": [operation.tag],
        "parameters": list(_parameters(operation, schemas)),
        "responses": {
            **{str(status): _answer(status, answer, reference) for status, answer in operation.answers.items()},
            **{str(status): _error(status, reference) for status in _errors(operation)},
        },
    }
    if operation.body:
        schema = reference[operation.body]
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    if operation.upload:
        schema = _upload(schemas[operation.upload.__name__])
        described["requestBody"] = {"required": True, "content": {"multipart/form-data": {"schema": schema}}}
    if operation.form:
        described["requestBody"]["content"]["multipart/form-data"] = _form(reference[operation.form])
    if operation.security == "operator":
        described["security"] = [{"operator": []}]
    elif operation.security:
        described["security"] = [{"key": []}]
        described["description"] = f"Scope: {operation.security}."
    return described


def _upload(form: Json) -> Json:
    """Return a form of fields and a file."""
    file = {"type": "string", "format": "binary"}
    return form | {"properties": form["properties"] | {"file": file}, "required": [*form["required"], "file"]}


def _form(options: Json) -> Json:
    """Return a form of options and a file."""
    properties = {"batch": options, "file": {"type": "string", "format": "binary"}}
    return {
        "schema": {
            "type": "object",
            "properties": properties,
            "required": ["file"],
            "additionalProperties": False,
        },
        "encoding": {"batch": {"contentType": "application/json"}},
    }


def _operation_id(operation: Operation) -> str:
    """Return a name for generated clients, as `post_jobs_job_id_cancel`."""
    words = re.findall(r"[a-z]+", operation.path.removeprefix("/v1"))
    return "_".join([operation.method.lower(), *words])


def _parameters(operation: Operation, schemas: Json) -> Iterable[Json]:
    for name in re.findall(r"{(\w+)}", operation.path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
    if operation.query:
        for name, schema in schemas[operation.query.__name__].get("properties", {}).items():
            yield {"name": name, "in": "query", "schema": schema, "description": schema.get("description", "")}
    for name in operation.headers:
        yield {"name": name, "in": "header", "schema": {"type": "string"}, "description": HEADERS[name]}


def _answer(status: int, answer: Answer, reference: dict[type[BaseModel], Json]) -> Json:
    described: Json = {"description": HTTPStatus(status).phrase}
    content = {}
    if answer.model:
        content["application/json"] = {"schema": reference[answer.model]}
    if answer.media:
        schema = _STREAMED if answer.model else _MEDIA.get(answer.media, {"type": "string"})
        content |= {media: {"schema": schema} for media in (answer.media, *answer.or_media)}
    if content:
        described["content"] = content
    if answer.headers:
        described["headers"] = {
            name: {"schema": {"type": "string"}, "description": HEADERS[name]} for name in answer.headers
        }
    return described


def _errors(operation: Operation) -> list[int]:
    common: set[int] = set()
    if operation.security:
        common |= set(KEYED_ERRORS)
    if operation.security not in {None, "operator"}:
        common.add(429)  # tenants have quotas, the operator has none
    return sorted(common | set(operation.errors))


def _error(status: int, reference: dict[type[BaseModel], Json]) -> Json:
    content = {"application/problem+json": {"schema": reference[problems.Problem]}}
    return {"description": HTTPStatus(status).phrase, "content": content}
