"""What a job's event stream tells, read from Server-Sent Events, and folded back into the job."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple

from quire_client.errors import UnexpectedAnswerError
from quire_client.job import Eta, Failure, Job, Logprobs, Piece, Progress
from quire_client.shape import Json, known


@dataclass(frozen=True)
class StateEvent:
    """The job's state, or its place in the queue, is another one. A final state is the last event."""

    name: ClassVar[str] = "state"
    state: str
    blocked_by: str | None = None
    queue_position: int | None = None
    queue_more: bool = False
    eta: Eta | None = field(default=None, compare=False)  # another one each time
    attempts: int = 0
    error: Failure | None = None
    id: str | None = None


@dataclass(frozen=True)
class TextEvent:
    """What pieces have gained. `id` is the position behind it, to go on from."""

    name: ClassVar[str] = "text"
    pieces: tuple[Piece, ...]
    id: str | None = None

    @property
    def text(self) -> str:
        """What the first piece has gained."""
        return "".join(piece.text for piece in self.pieces if piece.index == 0)


@dataclass(frozen=True)
class ProgressEvent:
    name: ClassVar[str] = "progress"
    tokens: int = 0
    max_tokens: int = 0
    id: str | None = None


@dataclass(frozen=True)
class TruncateEvent:
    """All text read so far is void and comes again, since the server does not know the position asked for."""

    name: ClassVar[str] = "truncate"
    to: str
    id: str | None = None


Event = StateEvent | TextEvent | ProgressEvent | TruncateEvent


_END_OF_LINE = re.compile(r"\r\n|\r|\n")


class Frame(NamedTuple):
    """One event as it is sent."""

    name: str
    id: str | None
    data: str


def lines(texts: Iterable[str]) -> Iterator[str]:
    """Cut a text that comes bit by bit into its lines: at CR, LF and both together, as the standard has it.

    `str.splitlines` would cut at what may stand in the text of a job, as U+2028.
    """
    left = ""
    for text in texts:
        left += text
        held = "\r" if left.endswith("\r") else ""  # an LF may follow
        *whole, left = _END_OF_LINE.split(left.removesuffix(held))
        left += held
        yield from whole
    if left:
        yield left.removesuffix("\r")


def frames(lines: Iterable[str]) -> Iterator[Frame]:
    """Put lines together (HTML Living Standard, 9.2.6); comments and what is cut off are left out."""
    name: str = "message"
    identity: str | None = None
    data: list[str] = []
    for line in lines:
        if not line:
            if data:
                yield Frame(name, identity, "\n".join(data))
            name, identity, data = "message", None, []
            continue
        key, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if key == "event":
            name = value
        elif key == "id":
            identity = value
        elif key == "data":
            data.append(value)


def parse(frame: Frame) -> Event | None:
    """Return the event of a frame; None if it is of a kind that only a newer server knows.

    Raises:
        UnexpectedAnswerError: its data are not what the API sends.

    """
    try:
        return _parse(frame.name, json.loads(frame.data), frame.id)
    except (ValueError, TypeError, KeyError, AttributeError) as problem:
        raise UnexpectedAnswerError(f"event {frame.name} is not the API's: {problem}") from problem


def _parse(name: str, data: Json, identity: str | None) -> Event | None:
    match name:
        case "state":
            queue, failure = data.get("queue") or {}, data.get("error")
            return StateEvent(
                **known(StateEvent, data)
                | {
                    "queue_position": queue.get("position"),
                    "queue_more": bool(queue.get("more")),
                    "eta": Eta.parse(queue["eta"]) if queue.get("eta") else None,
                    "error": Failure(**known(Failure, failure)) if failure else None,
                    "id": identity,
                }
            )
        case "text":
            return TextEvent(tuple(Piece.parse(each) for each in data["pieces"]), identity)
        case "progress":
            return ProgressEvent(**known(ProgressEvent, data) | {"id": identity})
        case "truncate":
            return TruncateEvent(data["to"], identity)
        case _:
            return None


@dataclass
class Draft:
    """A job as its events make it, told again with each."""

    job: Job
    _pieces: dict[int, Piece] = field(default_factory=dict)

    def apply(self, event: Event) -> Job:
        """Return the job after an event; with text events alone its text is that of the server."""
        match event:
            case StateEvent():
                told: dict[str, Any] = {name: getattr(event, name) for name in _OF_STATE}
                self.job = replace(self.job, **told)
            case TextEvent():
                for piece in event.pieces:
                    self._pieces[piece.index] = _grown(self._pieces.get(piece.index), piece)
            case ProgressEvent():
                self.job = replace(self.job, progress=Progress(event.tokens, event.max_tokens))
            case TruncateEvent():
                self._pieces.clear()
        pieces = tuple(self._pieces[index] for index in sorted(self._pieces))
        self.job = replace(self.job, pieces=pieces)
        return self.job


_OF_STATE = ("state", "blocked_by", "queue_position", "queue_more", "eta", "attempts", "error")


def _grown(before: Piece | None, new: Piece) -> Piece:
    if before is None:
        return new
    return replace(
        new,
        text=before.text + new.text,
        tokens=before.tokens + new.tokens,
        finish_reason=new.finish_reason or before.finish_reason,
        logprobs=_joined(before.logprobs, new.logprobs),
    )


def _joined(before: Logprobs | None, new: Logprobs | None) -> Logprobs | None:
    if before is None or new is None:
        return new or before
    return Logprobs(
        (*before.tokens, *new.tokens),
        (*before.token_logprobs, *new.token_logprobs),
        (*before.top_logprobs, *new.top_logprobs),
    )
