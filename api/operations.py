"""The table of routes: what each is for, takes and answers. The OpenAPI document is made from it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel

from api import responses, schemas
from api.batches import answers as batch_answers
from api.batches import requests as batch_requests
from api.binding import MEDIA
from api.openai import answers
from api.openai import schemas as openai
from api.schedules import answers as schedule_answers
from api.schedules import requests as schedule_requests
from api.webhooks import answers as webhook_answers
from api.webhooks import requests as webhook_requests
from quire.artifacts import MEDIA_TYPES
from quire.asking.books import ContinueRequest
from quire.asking.request import JobRequest

Security = Literal["jobs:read", "jobs:write", "any key", "operator"]

OBJECT_HEADERS = ("ETag", "Retry-After", "Preference-Applied")
BOOKS = tuple(MEDIA.values())
FILES = tuple(MEDIA_TYPES.values())
FILE_HEADERS = ("ETag", "Accept-Ranges", "Content-Disposition")
RESULTS = ("application/jsonl", "text/csv")
SUBMIT_ERRORS = (400, 409, 410, 413, 415, 422)


@dataclass(frozen=True)
class Answer:
    """What a success carries: a JSON model or another media type, whichever was asked for, or nothing."""

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
    form: type[BaseModel] | None = None  # or this, as one part of a form beside a file
    upload: type[BaseModel] | None = None  # fields of a form beside its file
    query: type[BaseModel] | None = None
    headers: tuple[str, ...] = ()  # request headers that mean something here
    errors: tuple[int, ...] = field(default=())  # beside those of all operations alike

    @property
    def takes(self) -> tuple[type[BaseModel] | None, ...]:
        return self.body, self.form, self.upload, self.query


OPERATIONS = (
    Operation(
        "POST", "/v1/jobs", "Jobs", "Submit a job",
        {202: Answer(responses.Job, headers=("Location", "Idempotent-Replayed", *OBJECT_HEADERS))},
        "jobs:write", body=JobRequest, headers=("Idempotency-Key", "Prefer"), errors=SUBMIT_ERRORS,
    ),
    Operation(
        "POST", "/v1/jobs/bulk", "Jobs", "Submit many jobs: all are queued, or none",
        {202: Answer(responses.Bulk, headers=("Idempotent-Replayed",))},
        "jobs:write", body=schemas.BulkRequest, headers=("Idempotency-Key",), errors=(400, 409, 413, 415, 422),
    ),
    Operation(
        "POST", "/v1/jobs/plan", "Jobs", "Preview the plan of a book; nothing is queued",
        {200: Answer(responses.PlannedBook)},
        "jobs:write", body=JobRequest, errors=(400, 413, 415),
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
        "jobs:write", body=ContinueRequest, headers=("Idempotency-Key", "Prefer"),
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
        "POST", "/v1/batches", "Batches", "Submit a batch: all of its items are taken, or none",
        {202: Answer(batch_answers.BatchInItsForm, headers=("Location", "Idempotent-Replayed", "Retry-After"))},
        "jobs:write", body=batch_requests.AnyBatchRequest, form=batch_requests.BatchOptions,
        headers=("Idempotency-Key",), errors=SUBMIT_ERRORS,
    ),
    Operation(
        "GET", "/v1/batches", "Batches", "List batches, newest first",
        {200: Answer(batch_answers.BatchPage)}, "jobs:read", query=batch_requests.BatchQuery, errors=(400,),
    ),
    Operation(
        "GET", "/v1/batches/{batch_id}", "Batches", "Look at a batch",
        {200: Answer(batch_answers.BatchInItsForm, headers=("Retry-After",))}, "jobs:read", errors=(404,),
    ),
    Operation(
        "GET", "/v1/batches/{batch_id}/results", "Batches", "Read what has ended, as a file that grows",
        {200: Answer(media=RESULTS[0], or_media=RESULTS[1:], headers=("Accept-Ranges", "Next-Cursor")),
         206: Answer(media=RESULTS[0], or_media=RESULTS[1:], headers=("Accept-Ranges", "Content-Range"))},
        "jobs:read", query=batch_requests.ResultsQuery, headers=("Range",), errors=(400, 404, 416),
    ),
    Operation(
        "POST", "/v1/batches/{batch_id}/cancel", "Batches", "End a batch now; one that is over stays as it is",
        {200: Answer(batch_answers.BatchInItsForm)}, "jobs:write", errors=(404,),
    ),
    Operation(
        "POST", "/v1/batches/{batch_id}/retry", "Batches", "Run again what did not succeed, as a batch of its own",
        {202: Answer(batch_answers.BatchInItsForm, headers=("Location", "Retry-After"))},
        "jobs:write", body=batch_requests.RetryRequest, errors=(400, 404, 409, 413, 415),
    ),
    Operation(
        "DELETE", "/v1/batches/{batch_id}", "Batches", "Delete a batch that is over, with its jobs",
        {204: Answer()}, "jobs:write", errors=(404, 409),
    ),
    Operation(
        "POST", "/v1/schedules", "Schedules", "Make a schedule",
        {201: Answer(schedule_answers.Schedule)}, "jobs:write", body=schedule_requests.ScheduleRequest,
        errors=(400, 413, 415),
    ),
    Operation(
        "POST", "/v1/schedules/preview", "Schedules", "Tell the first moments of a schedule that is not made",
        {200: Answer(schedule_answers.Preview)}, "jobs:read", body=schedule_requests.PreviewRequest,
        errors=(400, 413, 415),
    ),
    Operation(
        "GET", "/v1/schedules", "Schedules", "List schedules, newest first",
        {200: Answer(schedule_answers.SchedulePage)}, "jobs:read", query=schedule_requests.ScheduleQuery,
        errors=(400,),
    ),
    Operation(
        "GET", "/v1/schedules/{schedule_id}", "Schedules", "Look at a schedule",
        {200: Answer(schedule_answers.Schedule)}, "jobs:read", errors=(404,),
    ),
    Operation(
        "PUT", "/v1/schedules/{schedule_id}", "Schedules", "Put another in its place; what it was is kept",
        {200: Answer(schedule_answers.Schedule)}, "jobs:write", body=schedule_requests.ScheduleRequest,
        errors=(400, 404, 413, 415),
    ),
    Operation(
        "DELETE", "/v1/schedules/{schedule_id}", "Schedules", "Delete a schedule; the batches that it made stay",
        {204: Answer()}, "jobs:write", errors=(404,),
    ),
    Operation(
        "POST", "/v1/schedules/{schedule_id}/pause", "Schedules", "Fire nothing until it is resumed",
        {200: Answer(schedule_answers.Schedule)}, "jobs:write", errors=(404,),
    ),
    Operation(
        "POST", "/v1/schedules/{schedule_id}/resume", "Schedules", "Go on with its next moment",
        {200: Answer(schedule_answers.Schedule)}, "jobs:write", errors=(404, 409),
    ),
    Operation(
        "POST", "/v1/schedules/{schedule_id}/run", "Schedules", "Fire it once more, now",
        {202: Answer(schedule_answers.Occurrence)}, "jobs:write", errors=(404,),
    ),
    Operation(
        "GET", "/v1/schedules/{schedule_id}/preview", "Schedules", "Tell its next moments",
        {200: Answer(schedule_answers.Preview)}, "jobs:read", query=schedule_requests.PreviewQuery,
        errors=(400, 404),
    ),
    Operation(
        "GET", "/v1/schedules/{schedule_id}/history", "Schedules", "Tell what it was before each edit",
        {200: Answer(schedule_answers.History)}, "jobs:read", errors=(404,),
    ),
    Operation(
        "GET", "/v1/schedules/{schedule_id}/occurrences", "Schedules", "List what became of its moments",
        {200: Answer(schedule_answers.OccurrenceList)}, "jobs:read", query=schedule_requests.OccurrenceQuery,
        errors=(400, 404),
    ),
    Operation(
        "POST", "/v1/webhooks", "Webhooks", "Set up an endpoint; its secret is shown this once",
        {201: Answer(webhook_answers.EndpointWithSecret)}, "jobs:write", body=webhook_requests.EndpointRequest,
        errors=(400, 413, 415),
    ),
    Operation(
        "GET", "/v1/webhooks", "Webhooks", "List endpoints, newest first",
        {200: Answer(webhook_answers.EndpointPage)}, "jobs:read", query=schemas.PageQuery, errors=(400,),
    ),
    Operation(
        "GET", "/v1/webhooks/{webhook_id}", "Webhooks", "Look at an endpoint",
        {200: Answer(webhook_answers.ShownEndpoint)}, "jobs:read", errors=(404,),
    ),
    Operation(
        "PATCH", "/v1/webhooks/{webhook_id}", "Webhooks", "Change an endpoint, or switch it off or on",
        {200: Answer(webhook_answers.ShownEndpoint)}, "jobs:write", body=webhook_requests.EndpointChange,
        errors=(400, 404, 413, 415),
    ),
    Operation(
        "DELETE", "/v1/webhooks/{webhook_id}", "Webhooks", "Delete an endpoint with its deliveries",
        {204: Answer()}, "jobs:write", errors=(404,),
    ),
    Operation(
        "POST", "/v1/webhooks/{webhook_id}/rotate", "Webhooks", "Give an endpoint a new secret",
        {200: Answer(webhook_answers.EndpointWithSecret)}, "jobs:write", body=webhook_requests.RotateRequest,
        errors=(400, 404, 413, 415),
    ),
    Operation(
        "POST", "/v1/webhooks/{webhook_id}/test", "Webhooks", "Send a test event",
        {202: Answer(webhook_answers.ShownDelivery)}, "jobs:write", errors=(404,),
    ),
    Operation(
        "GET", "/v1/webhooks/{webhook_id}/deliveries", "Webhooks", "List what was sent, newest first",
        {200: Answer(webhook_answers.DeliveryPage)}, "jobs:read", query=schemas.PageQuery, errors=(400, 404),
    ),
    Operation(
        "POST", "/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver", "Webhooks", "Send it again, now",
        {202: Answer(webhook_answers.ShownDelivery)}, "jobs:write", errors=(404,),
    ),
    Operation(
        "GET", "/v1/models", "Models", "List the models that some worker has loaded",
        {200: Answer(responses.ModelList)}, "any key",
    ),
    Operation(
        "GET", "/v1/models/{model_name}", "Models", "Look at a model",
        {200: Answer(responses.Model)}, "any key", errors=(404,),
    ),
    Operation(
        "POST", "/v1/completions", "OpenAI", "Complete texts: waits for its jobs, or streams what they write",
        {200: Answer(answers.Completion, media="text/event-stream")},
        "jobs:write", body=openai.CompletionRequest, headers=("Idempotency-Key",),
        errors=(404, *SUBMIT_ERRORS, 500, 504),
    ),
    Operation(
        "POST", "/v1/responses", "OpenAI", "Make a response: waits, streams, or answers at once with background",
        {200: Answer(answers.OpenAIResponse, media="text/event-stream")},
        "jobs:write", body=openai.ResponseRequest, headers=("Idempotency-Key",),
        errors=(404, *SUBMIT_ERRORS, 504),
    ),
    Operation(
        "GET", "/v1/responses/{response_id}", "OpenAI", "Look at a response, or follow it",
        {200: Answer(answers.OpenAIResponse, media="text/event-stream")},
        "jobs:read", query=openai.ResponseQuery, errors=(400, 404),
    ),
    Operation(
        "POST", "/v1/responses/{response_id}/cancel", "OpenAI", "Cancel a response; one that is over stays",
        {200: Answer(answers.OpenAIResponse)}, "jobs:write", errors=(404,),
    ),
    Operation(
        "DELETE", "/v1/responses/{response_id}", "OpenAI", "Delete a response that is over",
        {200: Answer(answers.DeletedResponse)}, "jobs:write", errors=(404, 409),
    ),
    Operation(
        "POST", "/v1/files", "OpenAI", "Upload a file of a batch's lines",
        {200: Answer(answers.File)}, "jobs:write", upload=openai.FileForm, errors=(400, 413, 415),
    ),
    Operation(
        "GET", "/v1/files", "OpenAI", "List files",
        {200: Answer(answers.FileList)}, "jobs:read", query=openai.FileQuery, errors=(400,),
    ),
    Operation(
        "GET", "/v1/files/{file_id}", "OpenAI", "Look at a file",
        {200: Answer(answers.File)}, "jobs:read", errors=(404,),
    ),
    Operation(
        "GET", "/v1/files/{file_id}/content", "OpenAI", "Read a file",
        {200: Answer(media="application/octet-stream")}, "jobs:read", errors=(404,),
    ),
    Operation(
        "DELETE", "/v1/files/{file_id}", "OpenAI", "Delete a file",
        {200: Answer(answers.DeletedFile)}, "jobs:write", errors=(404, 409),
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
