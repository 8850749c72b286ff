"""A job, as the server tells it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Self

from quire_client.errors import ConfigurationError, JobEndedError
from quire_client.shape import Json, known, time

if TYPE_CHECKING:
    from quire_client.events import Event

UNFINISHED = frozenset({"queued", "running"})


@dataclass(frozen=True)
class Change:
    """Something done to a prompt before it was used, and how often."""

    what: str
    count: int = 1


@dataclass(frozen=True)
class Music:
    """The tune that was asked for, with what was left open decided."""

    style: str = ""
    meter: str = ""
    key: str = ""
    tempo: int = 0  # pulses a minute: dotted quarters in 6/8
    bars: int = 0
    accidentals: bool = False
    opening: str | None = None  # ABC
    instrument: str = ""
    artifacts: tuple[str, ...] = ()

    @classmethod
    def parse(cls, data: Json) -> Self:
        return cls(**known(cls, data) | {"artifacts": tuple(data.get("artifacts") or ())})


@dataclass(frozen=True)
class Artifact:
    """A file that was made of a piece. `unavailable` says why it could not be, and is None if it is there."""

    name: str
    piece: int = 0
    media_type: str = ""
    size: int = 0  # bytes
    sha256: str | None = None
    unavailable: str | None = None

    @classmethod
    def parse(cls, data: Json) -> Self:
        return cls(**known(cls, data))


@dataclass(frozen=True)
class Input:
    """What was asked for; `prompt` is the text that the model really continues."""

    prompt: str = ""
    form: str | None = None
    title: str | None = None
    theme: str | None = None
    style: str | None = None
    changes: tuple[Change, ...] = ()
    music: Music | None = None

    @classmethod
    def parse(cls, data: Json) -> Self:
        music = data.get("music")
        changes = tuple(Change(**known(Change, item)) for item in data.get("changes") or ())
        return cls(**known(cls, data) | {"changes": changes, "music": Music.parse(music) if music else None})


@dataclass(frozen=True)
class Parameters:
    """How the text is drawn; `docs/api.md` has the ranges. `seed` is always told."""

    n: int = 1
    best_of: int = 1
    seed: int | None = None
    max_tokens: int = 128
    min_tokens: int = 0
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Mapping[str, float] = field(default_factory=dict)
    stop: tuple[str, ...] = ()
    banned: tuple[str, ...] = ()
    logprobs: int | None = None
    truncate: str | None = None

    @classmethod
    def parse(cls, data: Json) -> Self:
        texts = {name: tuple(data.get(name) or ()) for name in ("stop", "banned")}
        return cls(**known(cls, data) | texts)


@dataclass(frozen=True)
class Logprobs:
    """Natural logarithms by token, from the model before any filter."""

    tokens: tuple[str, ...]
    token_logprobs: tuple[float, ...]
    top_logprobs: tuple[Mapping[str, float], ...] = ()

    @classmethod
    def parse(cls, data: Json) -> Self:
        return cls(**{name: tuple(value) for name, value in known(cls, data).items()})


@dataclass(frozen=True)
class Piece:
    """One text. `finish_reason`: `stop`, `length`, or None while unfinished or cut off."""

    index: int
    text: str = ""
    tokens: int = 0
    finish_reason: str | None = None
    logprobs: Logprobs | None = None

    @classmethod
    def parse(cls, data: Json) -> Self:
        logprobs = data.get("logprobs")
        return cls(**known(cls, data) | {"logprobs": Logprobs.parse(logprobs) if logprobs else None})


@dataclass(frozen=True)
class Progress:
    tokens: int = 0
    max_tokens: int = 0


@dataclass(frozen=True)
class Eta:
    """When a queued job will start: by `p50` in half of all cases, by `p90` in nine of ten."""

    p50: datetime
    p90: datetime

    @classmethod
    def parse(cls, data: Json) -> Self:
        return cls(datetime.fromisoformat(data["p50"]), datetime.fromisoformat(data["p90"]))


@dataclass(frozen=True)
class Timings:
    queued_seconds: float | None = None
    running_seconds: float | None = None


@dataclass(frozen=True)
class Usage:
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0


@dataclass(frozen=True)
class Failure:
    """Why a job failed."""

    code: str = ""
    message: str = ""


@dataclass(frozen=True)
class Job:
    """A job as it was when the server was asked. Jobs of a list carry no `input` and no `pieces`."""

    id: str
    state: str
    kind: str = "text"
    blocked_by: str | None = None
    model: str = ""
    priority: int = 0
    metadata: Mapping[str, str] = field(default_factory=dict)
    input: Input | None = None
    parameters: Parameters = field(default_factory=Parameters)
    queue_position: int | None = None  # from 1; None: not queued, or held
    queue_more: bool = False  # it stands somewhere behind that position
    eta: Eta | None = None  # None: unknown, or not told in a list
    progress: Progress = field(default_factory=Progress)
    attempts: int = 0
    numerics: str | None = None
    numerics_changed: bool = False
    created_at: datetime | None = None
    not_before: datetime | None = None
    deadline: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    timings: Timings = field(default_factory=Timings)
    usage: Usage = field(default_factory=Usage)
    pieces: tuple[Piece, ...] = ()
    artifacts: tuple[Artifact, ...] = ()
    error: Failure | None = None
    raw: Json = field(default_factory=dict, repr=False, compare=False)
    # Of a job that came from a server: its events.
    follow: "Callable[..., Iterator[Event]] | None" = field(default=None, repr=False, compare=False)

    @classmethod
    def parse(cls, data: Json) -> Self:
        times = ("created_at", "not_before", "deadline", "started_at", "finished_at")
        nested = {"parameters": Parameters.parse(data.get("parameters") or {})} | {
            name: kind(**known(kind, data.get(name) or {}))
            for name, kind in (("progress", Progress), ("timings", Timings), ("usage", Usage))
        }
        asked, failure, output = data.get("input"), data.get("error"), data.get("output") or {}
        queue = data.get("queue") or {}
        return cls(
            **known(cls, data)
            | nested
            | {name: time(data.get(name)) for name in times}
            | {
                "input": Input.parse(asked) if asked else None,
                "queue_position": queue.get("position"),
                "queue_more": bool(queue.get("more")),
                "eta": Eta.parse(queue["eta"]) if queue.get("eta") else None,
                "pieces": tuple(Piece.parse(piece) for piece in output.get("pieces") or ()),
                "artifacts": tuple(Artifact.parse(each) for each in data.get("artifacts") or ()),
                "error": Failure(**known(Failure, failure)) if failure else None,
                "raw": data,
            }
        )

    def stream(self, *, after: str | None = None, timeout: float | None = None) -> "Iterator[Event]":
        """Yield what happens to the job: see `Jobs.stream`.

        Raises:
            ConfigurationError: the job did not come from a server.

        """
        if self.follow is None:
            raise ConfigurationError("this job did not come from a server, so it has no events")
        return self.follow(after=after, timeout=timeout)

    def without_text(self) -> Self:
        """Return it as if nothing were written."""
        return replace(self, pieces=())

    @property
    def text(self) -> str:
        """The first piece so far; empty while nothing is written."""
        return self.pieces[0].text if self.pieces else ""

    @property
    def is_terminal(self) -> bool:
        """Nothing about the job will change. A state of a newer server counts as one that stays."""
        return self.state not in UNFINISHED

    def raise_for_state(self) -> Self:
        """Return the job unless it ended without success.

        Raises:
            JobEndedError: it failed, expired or was cancelled; what is written by then is in `pieces`.

        """
        if self.state in UNFINISHED or self.state == "succeeded":
            return self
        failure = self.error or Failure()
        raise JobEndedError.of(self.id, self.state, code=failure.code, message=failure.message)
