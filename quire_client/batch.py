"""A batch, as the server tells it, and its results."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

from quire_client.errors import JobEndedError
from quire_client.job import Piece, Usage
from quire_client.shape import Json, known, time


@dataclass(frozen=True)
class Counts:
    """Items by their states, at one moment. `held`: not in the queue yet."""

    total: int = 0
    held: int = 0
    queued: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    expired: int = 0

    @property
    def ended(self) -> int:
        return self.succeeded + self.failed + self.cancelled + self.expired


ENDS = ("completed", "failed", "expired", "cancelled")  # states that a batch in OpenAI's form may end in


@dataclass(frozen=True)
class Batch:
    """`state` is running, completed, cancelled, expired or exhausted: its budget was used up.

    One that was made of a file of OpenAI's form is told in that form, which has less; it may also be failed: its
    lines could not be read.
    """

    id: str
    state: str = "running"
    blocked_by: str | None = None  # quota or paused: why nothing of it is fed
    counts: Counts = field(default_factory=Counts)
    usage: Usage = field(default_factory=Usage)
    priority: int = 0
    max_running: int | None = None
    max_tokens: int | None = None
    deadline: datetime | None = None
    retention_hours: int | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    parent_id: str | None = None  # the batch whose items are run again
    schedule_id: str | None = None  # of which it is an occurrence
    created_at: datetime | None = None
    finished_at: datetime | None = None
    raw: Json = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def parse(cls, data: Json) -> Self:
        if "status" in data:
            return cls(**_of_openais(data))
        times = {name: time(data.get(name)) for name in ("deadline", "created_at", "finished_at")}
        parts = {
            "counts": Counts(**known(Counts, data.get("counts") or {})),
            "usage": Usage(**known(Usage, data.get("usage") or {})),
        }
        return cls(**known(cls, data) | times | parts | {"raw": data})

    @property
    def is_over(self) -> bool:
        return self.finished_at is not None

    def raise_for_state(self) -> Self:
        """Return it if every item succeeded.

        Raises:
            JobEndedError: some did not, or it was ended before its time.

        """
        if self.state == "completed" and self.counts.succeeded == self.counts.total:
            return self
        told = f"{self.counts.succeeded} of {self.counts.total} items succeeded"
        raise JobEndedError(self.id, self.state, message=told)


def _of_openais(data: Json) -> dict[str, Any]:
    """Return the fields of a batch that is told in OpenAI's form: its times are in seconds since 1970."""
    times = {name: datetime.fromtimestamp(data[name], UTC) for name in data if name.endswith("_at") and data[name]}
    state = data["status"] if data["status"] in ENDS else "running"
    counts, usage = data.get("request_counts") or {}, data.get("usage") or {}
    return {
        "id": data["id"],
        "state": state,
        "counts": Counts(
            total=counts.get("total", 0), succeeded=counts.get("completed", 0), failed=counts.get("failed", 0)
        ),
        "usage": Usage(
            prompt_tokens=usage.get("input_tokens", 0),
            completion_tokens=usage.get("output_tokens", 0),
            total_tokens=usage.get("total_tokens", 0),
        ),
        "deadline": times.get("expires_at"),
        "metadata": data.get("metadata") or {},
        "created_at": times.get("created_at"),
        "finished_at": times.get(f"{state}_at"),
        "raw": data,
    }


@dataclass(frozen=True)
class BatchResult:
    """One item that has ended. `index` is its place in what was sent, from 0; `job_id` is None if it never ran."""

    index: int
    custom_id: str | None = None
    job_id: str | None = None
    state: str = ""
    seed: int | None = None
    pieces: tuple[Piece, ...] = ()
    usage: Usage = field(default_factory=Usage)
    error: Mapping[str, str] | None = None
    raw: Json = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def parse(cls, data: Json) -> Self:
        pieces = tuple(Piece.parse(piece) for piece in data.get("pieces") or ())
        usage = Usage(**known(Usage, data.get("usage") or {}))
        return cls(**known(cls, data) | {"pieces": pieces, "usage": usage, "raw": data})

    @property
    def text(self) -> str:
        """The first piece; empty if there is none."""
        return self.pieces[0].text if self.pieces else ""
