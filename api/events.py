"""What can happen to a job, as its readers are told; see following.py."""

from dataclasses import dataclass, field

from quire.pieces import Piece
from quire.standing import Blocker, Eta
from quire.store.chunk import Position
from quire.store.job import State


@dataclass(frozen=True)
class Moved:
    """The job is in this state now, or stands elsewhere in its queue."""

    state: State
    blocked_by: Blocker | None = None
    position: int | None = None
    more: bool = False
    attempts: int = 0
    error: dict[str, str] | None = None
    eta: Eta | None = field(default=None, compare=False)  # another one with each look


@dataclass(frozen=True)
class Written:
    """Text that the job has gained, up to `end`; each piece holds only what is new."""

    end: Position
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class Progressed:
    tokens: int
    max_tokens: int


@dataclass(frozen=True)
class Truncated:
    """The log does not know the position that was asked for: all text comes again, from `to`."""

    to: Position


@dataclass(frozen=True)
class Quiet:
    """Nothing happened for a while."""


Event = Moved | Written | Progressed | Truncated | Quiet
