"""The tables, one file for each aggregate, and their queries."""

from quire.store.artifact import Artifact, ArtifactPart
from quire.store.base import Base
from quire.store.batch import Batch, BatchItem
from quire.store.chunk import Chunk
from quire.store.file import File, FilePart
from quire.store.forecast import Forecast, Guess, LaneForecast
from quire.store.idempotency import IdempotencyKey
from quire.store.job import Job
from quire.store.lane import Lane
from quire.store.ledger import LedgerEntry
from quire.store.model import Model
from quire.store.openai_batch import OpenAIBatch
from quire.store.receipt import Receipt
from quire.store.schedule import Occurrence, Schedule, ScheduleVersion
from quire.store.tenant import ApiKey, Tenant
from quire.store.usage import Usage
from quire.store.webhook import Attempt, Delivery, Endpoint, Event
from quire.store.worker import Worker

__all__ = [
    "ApiKey",
    "Artifact",
    "ArtifactPart",
    "Attempt",
    "Base",
    "Batch",
    "BatchItem",
    "Chunk",
    "Delivery",
    "Endpoint",
    "Event",
    "File",
    "FilePart",
    "Forecast",
    "Guess",
    "IdempotencyKey",
    "Job",
    "Lane",
    "LaneForecast",
    "LedgerEntry",
    "Model",
    "Occurrence",
    "OpenAIBatch",
    "Receipt",
    "Schedule",
    "ScheduleVersion",
    "Tenant",
    "Usage",
    "Worker",
]
