"""The table of routes: what each is for, takes and answers. The OpenAPI document is made from it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel

from api import books, responses, schemas
from api.binding import MEDIA
from quire.artifacts import MEDIA_TYPES

Security = Literal["jobs:read", "jobs:write", "any key", "operator"]

OBJECT_HEADERS = ("ETag", "Retry-After", "Preference-Applied")
BOOKS = tuple(MEDIA.values())
FILES = tuple(MEDIA_TYPES.values())
FILE_HEADERS = ("ETag", "Accept-Ranges", "Content-Disposition")
SUBMIT_ERRORS = (400, 409, 410, 413, 415, 422)


@dataclass(frozen=True)
class Answer:
    """What a success carries: a JSON model, or another media type, or nothing."""

    model: type[BaseModel] | None = None
    media: str | None = None
    or_media: tuple[str, ...] = ()  # others that it may be
    headers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Operation:
    method: str
    path: str
    tag: str
    summary: str
    answers: Mapping[int, Answer]
    security: Security | None = None
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    headers: tuple[str, ...] = ()  # request headers that mean something here
    errors: tuple[int, ...] = field(default=())  # beside those of all operations alike


OPERATIONS = (
    Operation(
        "POST", "/v1/jobs", "Jobs", "Submit a job",
        {202: Answer(responses.Job, headers=("Location", "Idempotent-Replayed", *OBJECT_HEADERS))},
        "jobs:write", body=schemas.JobRequest, headers=("Idempotency-Key", "Prefer"), errors=SUBMIT_ERRORS,
    ),
    Operation(
        "POST", "/v1/jobs/bulk", "Jobs", "Submit many jobs: all are queued, or none",
        {202: Answer(responses.Bulk, headers=("Idempotent-Replayed",))},
        "jobs:write", body=schemas.BulkRequest, headers=("Idempotency-Key",), errors=(400, 409, 413, 415, 422),
    ),
    Operation(
        "POST", "/v1/jobs/plan", "Jobs", "Preview the plan of a book; nothing is queued",
        {200: Answer(responses.PlannedBook)},
        "jobs:write", body=schemas.JobRequest, errors=(400, 413, 415),
    ),
    Operation(
        "GET", "/v1/jobs", "Jobs", "List jobs, newest first",
        {200: Answer(responses.JobPage)}, "jobs:read", query=schemas.JobQuery, errors=(400,),
    ),
    Operation(
        "GET", "/v1/jobs/{job_id}", "Jobs", "Look at a job, or wait for it",
        {200: Answer(responses.Job, headers=OBJECT_HEADERS), 304: Answer(headers=OBJECT_HEADERS)},
        "jobs:read", headers=("If-None-Match", "Prefer"), errors=(404,),
    ),
    Operation(
        "GET", "/v1/jobs/{job_id}/events", "Jobs", "Follow a job and its text as Server-Sent Events",
        {200: Answer(media="text/event-stream")},
        "jobs:read", query=schemas.EventsQuery, headers=("Last-Event-ID", "Prefer"), errors=(400, 404),
    ),
    Operation(
        "GET", "/v1/jobs/{job_id}/output", "Jobs", "Read the finished text",
        {200: Answer(media="text/plain")}, "jobs:read", query=schemas.OutputQuery, errors=(400, 404, 409),
    ),
    Operation(
        "GET", "/v1/jobs/{job_id}/book", "Jobs", "Read a book as Markdown, plain text, HTML or EPUB",
        {200: Answer(
            media=BOOKS[0], or_media=BOOKS[1:], headers=("Content-Disposition",),
        )},
        "jobs:read", query=schemas.BookQuery, errors=(400, 404, 409),
    ),
    Operation(
        "GET", "/v1/jobs/{job_id}/artifacts", "Jobs", "List the files that a job has made",
        {200: Answer(responses.ArtifactList)}, "jobs:read", errors=(404,),
    ),
    Operation(
        "GET", "/v1/jobs/{job_id}/artifacts/{name}", "Jobs", "Read a file, or a range of it",
        {200: Answer(media=FILES[0], or_media=FILES[1:], headers=FILE_HEADERS),
         206: Answer(media=FILES[0], or_media=FILES[1:], headers=("Content-Range", *FILE_HEADERS)),
         304: Answer(headers=("ETag",))},
        "jobs:read", headers=("Range", "If-Range", "If-None-Match"), errors=(404, 409, 416),
    ),
    Operation(
        "POST", "/v1/jobs/{job_id}/cancel", "Jobs", "Cancel a job; one that is over stays as it is",
        {200: Answer(responses.Job, headers=("ETag",))}, "jobs:write", errors=(404,),
    ),
    Operation(
        "POST", "/v1/jobs/{job_id}/continue", "Jobs", "Submit a job that goes on with a book that is over",
        {202: Answer(responses.Job, headers=("Location", "Idempotent-Replayed", *OBJECT_HEADERS))},
        "jobs:write", body=books.ContinueRequest, headers=("Idempotency-Key", "Prefer"),
        errors=(*SUBMIT_ERRORS, 404),
    ),
    Operation(
        "POST", "/v1/jobs/{job_id}/pause", "Jobs", "Hold a job; what is written stays",
        {200: Answer(responses.Job, headers=OBJECT_HEADERS)}, "jobs:write", errors=(404, 409),
    ),
    Operation(
        "POST", "/v1/jobs/{job_id}/resume", "Jobs", "Let a paused job go on",
        {200: Answer(responses.Job, headers=OBJECT_HEADERS)}, "jobs:write", errors=(404, 409),
    ),
    Operation(
        "DELETE", "/v1/jobs/{job_id}", "Jobs", "Delete a job that is over, with its text",
        {204: Answer()}, "jobs:write", errors=(404, 409),
    ),
    Operation(
        "GET", "/v1/models", "Models", "List the models that some worker has loaded",
        {200: Answer(responses.ModelList)}, "any key",
    ),
    Operation(
        "GET", "/v1/usage", "Usage", "Look at what was billed, by day and model",
        {200: Answer(responses.UsageReport)}, "jobs:read", query=schemas.UsageQuery, errors=(400,),
    ),
    Operation(
        "POST", "/v1/tenants", "Tenants", "Make a tenant",
        {201: Answer(responses.Tenant)}, "operator", body=schemas.TenantRequest, errors=(400, 409, 413, 415),
    ),
    Operation(
        "GET", "/v1/tenants", "Tenants", "List tenants, newest first",
        {200: Answer(responses.TenantPage)}, "operator", query=schemas.TenantQuery, errors=(400,),
    ),
    Operation(
        "GET", "/v1/tenants/{tenant_id}", "Tenants", "Look at a tenant",
        {200: Answer(responses.Tenant)}, "operator", errors=(404,),
    ),
    Operation(
        "PATCH", "/v1/tenants/{tenant_id}", "Tenants", "Change limits, or pause a tenant",
        {200: Answer(responses.Tenant)}, "operator", body=schemas.TenantChange, errors=(400, 404, 413, 415),
    ),
    Operation(
        "GET", "/v1/tenants/{tenant_id}/usage", "Tenants", "Look at what a tenant was billed",
        {200: Answer(responses.UsageReport)}, "operator", query=schemas.UsageQuery, errors=(400, 404),
    ),
    Operation(
        "POST", "/v1/tenants/{tenant_id}/suspend", "Tenants", "Refuse a tenant's keys and run nothing of it",
        {200: Answer(responses.Tenant)}, "operator", errors=(404,),
    ),
    Operation(
        "POST", "/v1/tenants/{tenant_id}/resume", "Tenants", "Let a suspended tenant go on",
        {200: Answer(responses.Tenant)}, "operator", errors=(404, 409),
    ),
    Operation(
        "DELETE", "/v1/tenants/{tenant_id}", "Tenants", "Delete a suspended tenant, its data key at once",
        {200: Answer(responses.Receipt)}, "operator", errors=(404, 409),
    ),
    Operation(
        "GET", "/v1/tenants/{tenant_id}/receipt", "Tenants", "Look at the receipt of a deleted tenant",
        {200: Answer(responses.Receipt)}, "operator", errors=(404,),
    ),
    Operation(
        "POST", "/v1/tenants/{tenant_id}/keys", "Tenants", "Make an API key; its secret is shown this once",
        {201: Answer(responses.KeyWithSecret)}, "operator", body=schemas.KeyRequest,
        errors=(400, 404, 409, 413, 415),
    ),
    Operation(
        "GET", "/v1/tenants/{tenant_id}/keys", "Tenants", "List the keys of a tenant, revoked ones too",
        {200: Answer(responses.KeyPage)}, "operator", query=schemas.KeyQuery, errors=(400, 404),
    ),
    Operation(
        "DELETE", "/v1/tenants/{tenant_id}/keys/{key_id}", "Tenants", "Revoke a key, at once",
        {204: Answer()}, "operator", errors=(404,),
    ),
    Operation(
        "GET", "/v1/admin/workers", "Operation", "List the workers, and how their leases stand",
        {200: Answer(responses.WorkerPage)}, "operator", query=schemas.PageQuery, errors=(400,),
    ),
    Operation(
        "GET", "/v1/admin/stuck", "Operation", "List jobs that are stuck, oldest first, and why",
        {200: Answer(responses.StuckPage)}, "operator", query=schemas.StuckQuery, errors=(400,),
    ),
    Operation(
        "GET", "/healthz", "Health", "Whether this process answers", {200: Answer(responses.Alive)},
    ),
    Operation(
        "GET", "/readyz", "Health", "Whether Postgres answers and is migrated", {200: Answer(responses.Ready)},
        errors=(503,),
    ),
    Operation("GET", "/metrics", "Health", "Metrics for Prometheus", {200: Answer(media="text/plain")}),
    Operation("GET", "/openapi.json", "Documents", "This document", {200: Answer(media="application/json")}),
    Operation("GET", "/docs", "Documents", "This document, to be read", {200: Answer(media="text/html")}),
)  # fmt: skip
