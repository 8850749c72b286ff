"""The client of Quire, a job system for creative writing on GPT-2 models.

with Quire() as quire:
    job = quire.jobs.submit(form="poem", title="The Harbour", theme="the sea and the night")
    print(quire.jobs.wait(job.id).text)
"""

from quire_client.batch import Batch, BatchResult
from quire_client.client import Quire
from quire_client.clock import Clock
from quire_client.errors import (
    APIError,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    ConflictError,
    ConnectionFailedError,
    FieldProblem,
    GoneError,
    JobCancelledError,
    JobEndedError,
    JobExpiredError,
    JobFailedError,
    KeyReusedError,
    MissingCredentialError,
    NotFoundError,
    PermissionDeniedError,
    QuireError,
    QuotaExceededError,
    ServerError,
    UnavailableError,
    UnexpectedAnswerError,
    WaitTimeoutError,
)
from quire_client.events import Event, ProgressEvent, StateEvent, TextEvent, TruncateEvent
from quire_client.fields import JobFields
from quire_client.job import Job, Piece
from quire_client.retry import Retry
from quire_client.schedule import Occurrence, Schedule
from quire_client.values import Key, Model, Page, Receipt, Tenant
from quire_client.version import __version__
from quire_client.webhook import Delivery, Webhook

__all__ = [
    "APIError",
    "AuthenticationError",
    "BadRequestError",
    "Batch",
    "BatchResult",
    "Clock",
    "ConfigurationError",
    "ConflictError",
    "ConnectionFailedError",
    "Delivery",
    "Event",
    "FieldProblem",
    "GoneError",
    "Job",
    "JobCancelledError",
    "JobEndedError",
    "JobExpiredError",
    "JobFailedError",
    "JobFields",
    "Key",
    "KeyReusedError",
    "MissingCredentialError",
    "Model",
    "NotFoundError",
    "Occurrence",
    "Page",
    "PermissionDeniedError",
    "Piece",
    "ProgressEvent",
    "Quire",
    "QuireError",
    "QuotaExceededError",
    "Receipt",
    "Retry",
    "Schedule",
    "ServerError",
    "StateEvent",
    "Tenant",
    "TextEvent",
    "TruncateEvent",
    "UnavailableError",
    "UnexpectedAnswerError",
    "WaitTimeoutError",
    "Webhook",
    "__version__",
]
