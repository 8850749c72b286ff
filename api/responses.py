"""What is sent back, field by field: the presenter fills these, and the OpenAPI document is made from them."""

from datetime import UTC, date, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema

from quire.longform import Plan
from quire.rules import Rules
from quire.spec import Change, Form, Music, Parameters
from quire.standing import Blocker
from quire.store.job import Kind, State
from quire.store.oversight import Trouble


def rfc3339(moment: datetime) -> str:
    """Write a time in UTC, always with microseconds, so that times compare as text."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


Moment = Annotated[
    datetime,
    PlainSerializer(rfc3339, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
Seconds = Annotated[float, Field(ge=0)]


class Response(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


# ---- jobs ------------------------------------------------------------------------------------------------


class JobInput(Response):
    """What was asked for, and the prompt that the model really continues."""

    form: Form | None
    title: str | None
    theme: str | None
    style: str | None
    rules: Rules | None = Field(description="What every piece is held to.")
    prompt: str
    changes: list[Change] = Field(description="What preparation did to the text.")
    music: Music | None = Field(description="The tune that is made; null for text.")
    longform: Plan | None = Field(description="The plan of the book; null for text and music.")
    continues: str | None = Field(description="The book that this one goes on with.")


class JobParameters(Parameters):
    best_of: int = Field(description="Draws; n unless it was given.")
    seed: int
    truncate: Literal["start", "end"] | None


class Eta(Response):
    p50: Moment = Field(description="It starts by then in half of all cases.")
    p90: Moment = Field(description="In nine of ten.")


class Queue(Response):
    position: int | None = Field(
        description="From 1, in your queue of this model, counted to 1000; null unless waiting there."
    )
    more: bool = Field(description="It stands somewhere behind that position.")
    eta: Eta | None = Field(description="When it will start; null where that is unknown, and in lists.")


class PartProgress(Response):
    heading: str
    state: Literal["waiting", "writing", "written"]
    tokens: int = Field(description="Written so far.")
    of: int = Field(description="Planned.")


class Progress(Response):
    tokens: int
    max_tokens: int = Field(description="Of all pieces together.")


class Timings(Response):
    queued_seconds: Seconds
    running_seconds: Seconds | None = Field(description="Null if it never ran.")


class Usage(Response):
    """What is billed by now: nothing for a job that never ran."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class PieceLogprobs(Response):
    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]]


class JobPiece(Response):
    index: int
    text: str
    tokens: int
    finish_reason: str | None = Field(description="stop, length, or null: not finished, or cut off.")
    logprobs: PieceLogprobs | None


class Output(Response):
    pieces: list[JobPiece]


class Failure(Response):
    code: str
    message: str


class JobInList(Response):
    """A job without its texts."""

    id: str
    object: Literal["job"] = "job"
    kind: Kind
    state: State
    blocked_by: Blocker | None = Field(description="What keeps a queued job from running; lists tell holds alone.")
    model: str
    priority: int
    metadata: dict[str, str]
    retention_hours: int | None = Field(
        description="Deleted so long after its end; null: as the tenant's jobs are."
    )
    batch_id: str | None = Field(description="The batch of which it is an item.")
    parameters: JobParameters
    queue: Queue
    progress: Progress
    attempts: int = Field(description="Workers that died under it, and not of another job.")
    numerics: str | None
    numerics_changed: bool
    created_at: Moment
    not_before: Moment | None
    deadline: Moment | None
    started_at: Moment | None
    finished_at: Moment | None
    timings: Timings
    usage: Usage
    error: Failure | None


class Artifact(Response):
    """A file that was made of a piece; or, with `unavailable`, that could not be made."""

    name: str
    piece: int
    media_type: str
    size: int = Field(description="Bytes.")
    sha256: str | None
    unavailable: str | None = Field(description="Why it could not be made; null: it is there.")


class Job(JobInList):
    input: JobInput
    parts: list[PartProgress] = Field(description="Of a book, each with how far it is; its text is that piece.")
    artifacts: list[Artifact] = Field(description="Files made of the pieces, once the job is over.")
    output: Output | None = Field(description="The text committed so far, or delivered; null while there is none.")


class StateEvent(Response):
    """Event `state`: the job's state, or its place in the queue, is another one. One that is final comes last."""

    state: State
    blocked_by: Blocker | None
    queue: Queue
    attempts: int
    error: Failure | None


class TextEvent(Response):
    """Event `text`: what the pieces have gained since the event before."""

    pieces: list[JobPiece]


class TruncateEvent(Response):
    """Event `truncate`: what was read is void, and all text comes again behind this position."""

    to: str


class ArtifactList(Response):
    object: Literal["list"] = "list"
    data: list[Artifact]


class PlannedBook(Response):
    """What a book would be; nothing is queued."""

    object: Literal["plan"] = "plan"
    model: str
    longform: Plan
    windows: int = Field(description="Prompts that will be composed.")
    max_tokens: int = Field(description="Of all parts, at most.")
    reserved_tokens: int = Field(description="Of the tenant's budget, at most; a window at a time.")
    prompt: str = Field(description="Of the first window.")


class Bulk(Response):
    object: Literal["bulk"] = "bulk"
    count: int
    jobs: list[str] = Field(description="Their ids, in the order of the body.")


# ---- models, tenants, keys -------------------------------------------------------------------------------


class Model(Response):
    id: str
    object: Literal["model"] = "model"
    created: int = Field(description="Seconds since 1970.")
    owned_by: Literal["quire"] = "quire"
    context_length: int
    vocab_size: int
    kind: Kind = Field(description="Of the jobs that it does.")
    renders: list[str] = Field(description="Artifacts that its workers can make.")
    sampling: dict[str, int | float] = Field(description="How it is drawn from where a request does not say.")
    numerics: str | None
    workers: int = Field(description="Workers alive.")
    default: bool


class Tenant(Response):
    id: str
    object: Literal["tenant"] = "tenant"
    name: str
    weight: float
    max_running: int | None
    max_queued: int
    max_tokens_per_day: int | None
    max_requests_per_minute: int | None
    paused: bool
    retention_days: int | None = Field(description="Of finished jobs; null: the server's setting.")
    created_at: Moment
    suspended_at: Moment | None = Field(description="Since then its keys are refused and nothing of it runs.")
    deleted_at: Moment | None = Field(description="Its data key is destroyed, its rows are being removed.")


class Receipt(Response):
    """What is kept of a deleted tenant, beside its ledger."""

    tenant_id: str
    object: Literal["tenant.receipt"] = "tenant.receipt"
    name: str
    request_id: str = Field(description="Of the request that asked for it.")
    key_fingerprint: str | None = Field(
        description="HMAC-SHA256 under the destroyed data key; null: it could not be opened."
    )
    keys: int = Field(description="API keys that were valid until then.")
    jobs: int = Field(description="Jobs removed so far.")
    chunks: int = Field(description="Rows of text removed so far.")
    artifacts: int = Field(description="Files removed so far.")
    created_at: Moment = Field(description="When the data key was destroyed.")
    completed_at: Moment | None = Field(description="When the last row was removed; null until then.")


class UsageLine(Response):
    """One day and model. The tokens of a job are billed to the day it was submitted on."""

    day: date
    model: str
    jobs: int = Field(description="That have ended.")
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    reserved_tokens: int = Field(description="Of jobs that have not ended, at most.")


class Today(Response):
    day: date
    used_tokens: int = Field(description="Billed and reserved, of all models.")
    max_tokens_per_day: int | None
    remaining_tokens: int | None


class UsageReport(Response):
    object: Literal["usage"] = "usage"
    first_day: date
    last_day: date
    data: list[UsageLine]
    today: Today


class Key(Response):
    id: str
    object: Literal["key"] = "key"
    tenant_id: str
    name: str | None
    prefix: str
    scopes: list[str]
    created_at: Moment
    revoked_at: Moment | None


class KeyWithSecret(Key):
    secret: str = Field(description="The whole key. It is shown this once.")


# ---- what the operator looks at ---------------------------------------------------------------------------


class Worker(Response):
    id: str
    object: Literal["worker"] = "worker"
    model: str
    host: str
    pid: int
    slots: int
    running: int = Field(description="Jobs.")
    draining: bool = Field(description="It takes no more jobs.")
    live: bool = Field(description="Its lease has not lapsed.")
    lease_seconds: float = Field(description="Left of its lease; below 0 since it lapsed.")
    numerics: str | None
    started_at: Moment


class StuckJob(Response):
    id: str
    object: Literal["stuck_job"] = "stuck_job"
    tenant_id: str
    model: str
    state: State
    why: list[Trouble]
    since: Moment
    attempts: int
    worker_id: str | None


# ---- lists -----------------------------------------------------------------------------------------------


class Page(Response):
    object: Literal["list"] = "list"
    has_more: bool
    next_cursor: str | None


class JobPage(Page):
    data: list[JobInList]


class TenantPage(Page):
    data: list[Tenant]


class KeyPage(Page):
    data: list[Key]


class WorkerPage(Page):
    data: list[Worker]


class StuckPage(Page):
    data: list[StuckJob]


class ModelList(Response):
    object: Literal["list"] = "list"
    data: list[Model]


# ---- the rest --------------------------------------------------------------------------------------------


class Alive(Response):
    status: Literal["ok"] = "ok"


class Ready(Response):
    status: Literal["ready"] = "ready"
    postgres: Literal["ok"] = "ok"
    migration: str
    redis: Literal["ok", "unavailable"] = Field(description="Submitting works without it.")
